#include "core/kernels/row_copy.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <cstring>

#include "core/base/check.h"
#include "core/kernels/on_gpu/rows.h"
#include "core/kernels/vector_math.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kRowsPerTask = 32;

template <typename T>
HETMOE_INLINE void add_body(const T* x, Arithmetic<T>* sum, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) sum[i] += widen(x[i]);
}
HETMOE_VECTORIZED void add_row(const float* x, float* sum, std::int64_t n) { add_body(x, sum, n); }
HETMOE_VECTORIZED void add_row(const double* x, double* sum, std::int64_t n) {
  add_body(x, sum, n);
}
HETMOE_VECTORIZED void add_row(const at::BFloat16* x, float* sum, std::int64_t n) {
  add_body(x, sum, n);
}

}  // namespace

at::Tensor gather_rows(const at::Tensor& x, std::span<const std::int64_t> index) {
  if (!x.is_cpu()) return on_gpu::gather_rows(x, on_gpu::uploaded_index(index));
  HETMOE_CHECK(x.is_contiguous(), "rows must be contiguous");
  const std::int64_t rows = static_cast<std::int64_t>(index.size());
  const std::int64_t row_bytes = x.size(1) * static_cast<std::int64_t>(x.element_size());
  at::Tensor out = at::empty({rows, x.size(1)}, x.options());
  const auto* source = static_cast<const char*>(x.const_data_ptr());
  auto* target = static_cast<char*>(out.mutable_data_ptr());
  at::parallel_for(0, rows, kRowsPerTask, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      std::memcpy(target + i * row_bytes, source + index[i] * row_bytes, row_bytes);
    }
  });
  return out;
}

void put_rows(const at::Tensor& x, std::span<const std::int64_t> index, at::Tensor& target) {
  if (!x.is_cpu()) return on_gpu::put_rows(x, on_gpu::uploaded_index(index), target);
  HETMOE_CHECK(x.is_contiguous() && target.is_contiguous() && x.size(1) == target.size(1) &&
                   x.scalar_type() == target.scalar_type() &&
                   x.size(0) == static_cast<std::int64_t>(index.size()),
               "x has ", x.size(0), " rows, index ", index.size());
  const std::int64_t row_bytes = x.size(1) * static_cast<std::int64_t>(x.element_size());
  const auto* source = static_cast<const char*>(x.const_data_ptr());
  auto* out = static_cast<char*>(target.mutable_data_ptr());
  at::parallel_for(0, x.size(0), kRowsPerTask, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      std::memcpy(out + index[i] * row_bytes, source + i * row_bytes, row_bytes);
    }
  });
}

void add_rows(const at::Tensor& x, std::span<const std::int64_t> index, at::Tensor& sum) {
  HETMOE_CHECK(x.is_contiguous() && sum.is_contiguous() && x.size(1) == sum.size(1) &&
                   x.size(0) == static_cast<std::int64_t>(index.size()),
               "x has ", x.size(0), " rows, index ", index.size());
  const std::int64_t columns = x.size(1);
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, x.scalar_type(), "add_rows", [&] {
    const auto* source = x.const_data_ptr<scalar_t>();
    auto* target = sum.mutable_data_ptr<Arithmetic<scalar_t>>();
    at::parallel_for(0, x.size(0), kRowsPerTask, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        add_row(source + i * columns, target + index[i] * columns, columns);
      }
    });
  });
}

void add_repeated_rows(const at::Tensor& x, std::span<const std::int64_t> index, at::Tensor& sum) {
  if (!x.is_cpu()) return on_gpu::add_repeated_rows(x, index, sum);
  HETMOE_CHECK(x.is_contiguous() && sum.is_contiguous() && x.size(1) == sum.size(1) &&
                   x.size(0) == static_cast<std::int64_t>(index.size()),
               "x has ", x.size(0), " rows, index ", index.size());
  const std::int64_t columns = x.size(1);
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, x.scalar_type(), "add_repeated_rows", [&] {
    const auto* source = x.const_data_ptr<scalar_t>();
    auto* target = sum.mutable_data_ptr<Arithmetic<scalar_t>>();
    at::parallel_for(0, columns, 128, [&](std::int64_t begin, std::int64_t end) {
      for (std::size_t i = 0; i < index.size(); ++i) {
        add_row(source + i * columns + begin, target + index[i] * columns + begin, end - begin);
      }
    });
  });
}

}  // namespace hetmoe
