#include "core/kernels/linear.h"

#include <ATen/ops/mm.h>

namespace hetmoe {

at::Tensor linear_forward(const at::Tensor& x, const at::Tensor& weight) {
  return at::mm(x, weight.t());
}

at::Tensor linear_input_gradient(const at::Tensor& dy, const at::Tensor& weight) {
  return at::mm(dy, weight);
}

void add_weight_gradient(const at::Tensor& dy, const at::Tensor& x, at::Tensor& gradient) {
  if (x.size(0) == 0) return;
  if (gradient.scalar_type() == x.scalar_type()) {
    gradient.addmm_(dy.t(), x);
  } else {
    gradient.add_(at::mm(dy.t(), x));
  }
}

}  // namespace hetmoe
