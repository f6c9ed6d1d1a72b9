#include <ATen/ops/addmm.h>

#include "core/kernels/on_gpu/dense.h"

namespace hetmoe::on_gpu {

void add_product(const at::Tensor& a, const at::Tensor& b, at::Tensor& result, GradientSum sum) {
  const int beta = sum == GradientSum::kBegin ? 0 : 1;  // 0: what is there is not read
  if (a.size(1) == 0) {
    if (beta == 0) result.zero_();
  } else if (result.scalar_type() == a.scalar_type()) {
    at::addmm_out(result, result, a, b, beta, 1);
  } else {
    at::addmm_outf(result, a, b, result.scalar_type(), beta, 1, result);
  }
}

void add_weight_gradient(const at::Tensor& dy, const at::Tensor& x, at::Tensor& gradient,
                         GradientSum sum) {
  add_product(dy.t(), x, gradient, sum);
}

}  // namespace hetmoe::on_gpu
