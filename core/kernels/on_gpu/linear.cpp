#include <ATen/ops/addmm.h>

#include "core/kernels/on_gpu/dense.h"

namespace hetmoe::on_gpu {

void add_product(const at::Tensor& a, const at::Tensor& b, at::Tensor& sum) {
  if (a.size(1) == 0) return;
  if (sum.scalar_type() == a.scalar_type()) {
    sum.addmm_(a, b);
  } else {
    at::addmm_outf(sum, a, b, sum.scalar_type(), 1, 1, sum);
  }
}

void add_weight_gradient(const at::Tensor& dy, const at::Tensor& x, at::Tensor& gradient) {
  add_product(dy.t(), x, gradient);
}

}  // namespace hetmoe::on_gpu
