#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include "core/kernels/gpu/rms_norm.h"
#include "core/kernels/on_gpu/dense.h"
#include "core/kernels/on_gpu/pointers.h"
#include "core/tensor/device.h"

namespace hetmoe::on_gpu {

RmsNormResult rms_norm_forward(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  RmsNormResult result{at::empty_like(x), at::empty({x.size(0)}, x.options().dtype(at::kFloat))};
  with_element(x, [&](auto element) {
    using T = decltype(element);
    gpu::rms_norm_forward<T>(data<T>(x), data<T>(weight), mutable_data<T>(result.y),
                             mutable_data<float>(result.inverse_rms), x.size(0), x.size(1),
                             static_cast<float>(epsilon), compute_stream());
  });
  return result;
}

at::Tensor rms_norm_backward(const at::Tensor& dy_in, const at::Tensor& x, const at::Tensor& weight,
                             const at::Tensor& inverse_rms, at::Tensor& weight_gradient,
                             GradientSum sum) {
  if (x.size(0) == 0 && sum == GradientSum::kBegin) weight_gradient.zero_();
  const at::Tensor dy = dy_in.contiguous();
  at::Tensor dx = at::empty_like(x);
  const at::Tensor scratch = at::empty({gpu::rms_norm_scratch_floats(x.size(0), x.size(1))},
                                       x.options().dtype(at::kFloat));
  with_element(x, [&](auto element) {
    using T = decltype(element);
    const gpu::RmsNormSaved<T> saved{.x = data<T>(x),
                                     .weight = data<T>(weight),
                                     .inverse_rms = data<float>(inverse_rms),
                                     .rows = x.size(0),
                                     .columns = x.size(1)};
    gpu::rms_norm_backward<T>(saved, data<T>(dy), mutable_data<T>(dx),
                              sum == GradientSum::kContinue, mutable_data<float>(weight_gradient),
                              mutable_data<float>(scratch), compute_stream());
  });
  return dx;
}

}  // namespace hetmoe::on_gpu
