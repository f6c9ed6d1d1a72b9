#include <ATen/ops/empty.h>
#include <ATen/ops/index_put.h>

#include "core/kernels/gpu/rows.h"
#include "core/kernels/on_gpu/dense.h"
#include "core/kernels/on_gpu/pointers.h"
#include "core/tensor/device.h"

namespace hetmoe::on_gpu {

at::Tensor embedding_forward(const at::Tensor& table, std::span<const std::int32_t> tokens) {
  const at::Tensor index = uploaded(tokens, at::kInt);
  at::Tensor rows = at::empty({index.size(0), table.size(1)}, table.options());
  with_element(table, [&](auto element) {
    using T = decltype(element);
    gpu::gather_rows<T>(data<T>(table), data<std::int32_t>(index), mutable_data<T>(rows),
                        rows.size(0), rows.size(1), compute_stream());
  });
  return rows;
}

// Adds after sorting by token, so that the order of a sum depends on nothing.
void embedding_backward(const at::Tensor& dy, std::span<const std::int32_t> tokens,
                        at::Tensor& gradient) {
  if (tokens.empty()) return;
  const at::Tensor index = uploaded(tokens, at::kInt).to(at::kLong);
  gradient.index_put_({index}, dy.to(gradient.scalar_type()), /*accumulate=*/true);
}

}  // namespace hetmoe::on_gpu
