#include "core/kernels/linear.h"

#include <ATen/ops/mm.h>

#include "core/kernels/on_gpu/dense.h"
#include "core/kernels/packed_product.h"
#include "core/kernels/tensor_work.h"

namespace hetmoe {
namespace {

bool can_pack(const at::Tensor& x, std::int64_t depth) {
  return x.is_cpu() && x.scalar_type() == at::kBFloat16 && x.is_contiguous() &&
         depth % PackedMatrix::kDepthMultiple == 0 && packed_products_available();
}

double output_bytes(const at::Tensor& rows, std::int64_t columns) {
  return static_cast<double>(rows.size(0) * columns) * static_cast<double>(rows.element_size());
}

}  // namespace

at::Tensor linear_forward(const at::Tensor& x, const at::Tensor& weight) {
  const Operation operation("linear", {product_flops(x.size(0), weight.size(0), x.size(1)),
                                       bytes_of(x, weight) + output_bytes(x, weight.size(0))});
  if (can_pack(x, weight.size(1))) return packed_linear(x, weight);
  return at::mm(x, weight.t());
}

at::Tensor linear_input_gradient(const at::Tensor& dy, const at::Tensor& weight) {
  const Operation operation("linear dx", {product_flops(dy.size(0), weight.size(1), dy.size(1)),
                                          bytes_of(dy, weight) + output_bytes(dy, weight.size(1))});
  if (can_pack(dy, weight.size(0))) return packed_input_gradient(dy, weight);
  return at::mm(dy, weight);
}

void add_weight_gradient(const at::Tensor& dy, const at::Tensor& x, at::Tensor& gradient,
                         GradientSum sum) {
  const bool begins = sum == GradientSum::kBegin;
  const Operation operation("linear dw", {product_flops(dy.size(1), x.size(1), dy.size(0)),
                                          bytes_of(dy, x) + (begins ? 1 : 2) * bytes_of(gradient)});
  if (!x.is_cpu()) return on_gpu::add_weight_gradient(dy, x, gradient, sum);
  if (x.size(0) == 0) {
    if (begins) gradient.zero_();
  } else if (can_pack(dy, 0) && x.is_contiguous() && gradient.is_contiguous()) {
    packed_weight_gradient(dy, x, gradient, sum);
  } else if (gradient.scalar_type() == x.scalar_type()) {
    begins ? at::mm_out(gradient, dy.t(), x) : gradient.addmm_(dy.t(), x);
  } else {
    const at::Tensor part = at::mm(dy.t(), x);
    begins ? gradient.copy_(part) : gradient.add_(part);
  }
}

}  // namespace hetmoe
