#include <ATen/ops/addmm.h>

#include "core/kernels/on_gpu/dense.h"

namespace hetmoe::on_gpu {

void add_weight_gradient(const at::Tensor& dy, const at::Tensor& x, at::Tensor& gradient) {
  if (x.size(0) == 0) return;
  if (gradient.scalar_type() == x.scalar_type()) {
    gradient.addmm_(dy.t(), x);
  } else {
    at::addmm_outf(gradient, dy.t(), x, gradient.scalar_type(), 1, 1, gradient);
  }
}

}  // namespace hetmoe::on_gpu
