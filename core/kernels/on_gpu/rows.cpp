#include "core/kernels/on_gpu/rows.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "core/kernels/gpu/group_sums.h"
#include "core/kernels/gpu/rows.h"
#include "core/kernels/on_gpu/pointers.h"
#include "core/tensor/device.h"

namespace hetmoe::on_gpu {
namespace {

at::Tensor integers(std::span<const std::int32_t> values) { return uploaded(values, at::kInt); }

}  // namespace

at::Tensor uploaded_index(std::span<const std::int64_t> index) {
  std::vector<std::int32_t> narrow(index.size());
  std::ranges::transform(index, narrow.begin(),
                         [](std::int64_t row) { return static_cast<std::int32_t>(row); });
  return integers(narrow);
}

at::Tensor gather_rows(const at::Tensor& x, const at::Tensor& index) {
  at::Tensor out = at::empty({index.size(0), x.size(1)}, x.options());
  with_element(x, [&](auto element) {
    using T = decltype(element);
    gpu::gather_rows<T>(data<T>(x), data<std::int32_t>(index), mutable_data<T>(out), out.size(0),
                        out.size(1), compute_stream());
  });
  return out;
}

at::Tensor sum_rows(const at::Tensor& x, const at::Tensor& positions) {
  at::Tensor out = at::empty({positions.size(0), x.size(1)}, x.options());
  with_element(out, [&](auto element) {
    using T = decltype(element);
    gpu::sum_rows<T>(data<T>(x),
                     {.positions = data<std::int32_t>(positions),
                      .sums = out.size(0),
                      .capacity = positions.size(1)},
                     nullptr, mutable_data<T>(out), out.size(1), compute_stream());
  });
  return out;
}

void put_rows(const at::Tensor& x, const at::Tensor& index, at::Tensor& target) {
  HETMOE_CHECK(x.scalar_type() == target.scalar_type() && x.size(1) == target.size(1) &&
                   x.size(0) == index.size(0),
               "x has ", x.size(0), " rows, index ", index.size(0));
  with_element(x, [&](auto element) {
    using T = decltype(element);
    gpu::scatter_rows<T>(data<T>(x), data<std::int32_t>(index), mutable_data<T>(target), x.size(0),
                         x.size(1), compute_stream());
  });
}

void add_repeated_rows(const at::Tensor& x, std::span<const std::int64_t> index, at::Tensor& sum) {
  HETMOE_CHECK(std::ranges::is_sorted(index), "rows to add on a GPU must come in order");
  if (index.empty()) return;
  const std::int64_t first = index.front();
  std::vector<std::int64_t> begin(static_cast<std::size_t>(index.back() - first) + 2);
  for (const std::int64_t row : index) ++begin[static_cast<std::size_t>(row - first) + 1];
  for (std::size_t i = 1; i < begin.size(); ++i) begin[i] += begin[i - 1];
  GroupSums(begin).run(x, /*adds=*/true,
                       sum.narrow(0, first, static_cast<std::int64_t>(begin.size()) - 1));
}

GroupSums::GroupSums(std::span<const std::int64_t> begin) {
  const gpu::LineTables tables(begin);
  line_row_ = integers(tables.line_row);
  group_line_ = integers(tables.group_line);
}

void GroupSums::run(const at::Tensor& rows, bool adds, const at::Tensor& sums) const {
  const std::int64_t lines = line_row_.size(0) - 1;
  const std::int64_t columns = rows.size(1);
  HETMOE_CHECK(sums.size(0) == group_line_.size(0) - 1 && sums.size(1) == columns, "sums of ",
               sums.size(0), " groups");
  const at::Tensor scratch = at::empty({lines, columns}, sums.options());
  with_element(rows, [&](auto element) {
    using T = decltype(element);
    gpu::group_sums<T>(data<T>(rows),
                       {.line_row = data<std::int32_t>(line_row_),
                        .group_line = data<std::int32_t>(group_line_),
                        .lines = lines,
                        .groups = sums.size(0)},
                       columns, adds, mutable_data<float>(sums), mutable_data<float>(scratch),
                       compute_stream());
  });
}

at::Tensor sum_elements(const at::Tensor& x, std::span<const std::int32_t> element,
                        std::int64_t terms) {
  HETMOE_CHECK(x.numel() <= std::numeric_limits<std::int32_t>::max(), x.numel(), " elements");
  const auto sums = static_cast<std::int64_t>(element.size()) / std::max<std::int64_t>(terms, 1);
  const at::Tensor positions = integers(element);
  at::Tensor out = at::empty({sums}, x.options());
  gpu::sum_rows<float>(
      data<float>(x), {.positions = data<std::int32_t>(positions), .sums = sums, .capacity = terms},
      nullptr, mutable_data<float>(out), 1, compute_stream());
  return out;
}

}  // namespace hetmoe::on_gpu
