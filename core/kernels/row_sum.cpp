#include "core/kernels/row_sum.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "core/base/check.h"
#include "core/kernels/vector_math.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kListsPerTask = 32;
constexpr std::int64_t kColumnsAtOnce = 512;  // of wide sums, which stay in the first cache

/// One sum; `row` names its rows.
template <typename T>
HETMOE_INLINE void sum_body(const T* x, std::span<const std::int64_t> row, std::int64_t columns,
                            T* out) {
  std::array<Arithmetic<T>, kColumnsAtOnce> sum;
  for (std::int64_t begin = 0; begin < columns; begin += kColumnsAtOnce) {
    const std::int64_t n = std::min(kColumnsAtOnce, columns - begin);
    for (std::int64_t i = 0; i < n; ++i) sum[i] = 0;
    for (const std::int64_t r : row) {
      const T* source = x + r * columns + begin;
      for (std::int64_t i = 0; i < n; ++i) sum[i] += widen(source[i]);
    }
    for (std::int64_t i = 0; i < n; ++i) out[begin + i] = NarrowTo<T>::from(sum[i]);
  }
}
HETMOE_VECTORIZED void sum_list(const float* x, std::span<const std::int64_t> row, std::int64_t n,
                                float* out) {
  sum_body(x, row, n, out);
}
HETMOE_VECTORIZED void sum_list(const double* x, std::span<const std::int64_t> row, std::int64_t n,
                                double* out) {
  sum_body(x, row, n, out);
}
HETMOE_VECTORIZED void sum_list(const at::BFloat16* x, std::span<const std::int64_t> row,
                                std::int64_t n, at::BFloat16* out) {
  sum_body(x, row, n, out);
}

}  // namespace

RowLists lists_of_rows(std::span<const std::int64_t> list_of_row, std::int64_t lists) {
  RowLists result;
  result.offset.assign(static_cast<std::size_t>(lists) + 1, 0);
  for (const std::int64_t list : list_of_row) {
    HETMOE_CHECK(list >= 0 && list < lists, "list ", list, " of ", lists);
    ++result.offset[list + 1];
  }
  std::partial_sum(result.offset.begin(), result.offset.end(), result.offset.begin());
  std::vector<std::int64_t> next(result.offset.begin(), result.offset.end() - 1);
  result.row.resize(list_of_row.size());
  for (std::size_t i = 0; i < list_of_row.size(); ++i) {
    result.row[next[list_of_row[i]]++] = static_cast<std::int64_t>(i);
  }
  return result;
}

at::Tensor sum_rows(const at::Tensor& x, const RowLists& lists) {
  HETMOE_CHECK(x.is_contiguous(), "rows must be contiguous");
  const std::int64_t columns = x.size(1);
  for (const std::int64_t row : lists.row) {
    HETMOE_CHECK(row >= 0 && row < x.size(0), "row ", row, " of ", x.size(0));
  }
  at::Tensor sums = at::empty({lists.size(), columns}, x.options());
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, x.scalar_type(), "sum_rows", [&] {
    const auto* source = x.const_data_ptr<scalar_t>();
    auto* target = sums.mutable_data_ptr<scalar_t>();
    at::parallel_for(0, lists.size(), kListsPerTask, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const auto rows = std::span<const std::int64_t>(lists.row).subspan(
            lists.offset[i], lists.offset[i + 1] - lists.offset[i]);
        sum_list(source, rows, columns, target + i * columns);
      }
    });
  });
  return sums;
}

}  // namespace hetmoe
