#include "core/kernels/rms_norm.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "core/base/check.h"
#include "core/kernels/on_gpu/dense.h"
#include "core/kernels/tensor_work.h"
#include "core/kernels/vector_math.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kRowsPerTask = 16;
// Partial sums of the weight's gradient: one per fixed block of rows, so that the order of the sum
// does not depend on the number of threads.
constexpr std::int64_t kRowsPerPartialSum = 256;

template <typename T>
HETMOE_INLINE Arithmetic<T> normalise_row(const T* x, const T* weight, T* y, std::int64_t columns,
                                          double epsilon) {
  using A = Arithmetic<T>;
  constexpr int kLanes = 16;  // explicit lanes: the compiler must not reorder a plain sum
  A lane[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= columns; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) {
      const A value = widen(x[i + j]);
      lane[j] += value * value;
    }
  }
  A sum = 0;
  for (int j = 0; j < kLanes; ++j) sum += lane[j];
  for (; i < columns; ++i) sum += widen(x[i]) * widen(x[i]);
  const A inverse = A(1) / std::sqrt(sum / static_cast<A>(columns) + static_cast<A>(epsilon));
  for (i = 0; i < columns; ++i) {
    y[i] = NarrowTo<T>::from(widen(x[i]) * inverse * widen(weight[i]));
  }
  return inverse;
}

template <typename T>
HETMOE_INLINE void backward_row(const T* dy, const T* x, const T* weight, Arithmetic<T> inverse,
                                T* dx, Arithmetic<T>* dweight, std::int64_t columns) {
  using A = Arithmetic<T>;
  constexpr int kLanes = 16;
  A lane[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= columns; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) {
      lane[j] += widen(dy[i + j]) * widen(weight[i + j]) * widen(x[i + j]);
    }
  }
  A dot = 0;
  for (int j = 0; j < kLanes; ++j) dot += lane[j];
  for (; i < columns; ++i) dot += widen(dy[i]) * widen(weight[i]) * widen(x[i]);
  const A projection = dot * inverse * inverse * inverse / static_cast<A>(columns);
  for (i = 0; i < columns; ++i) {
    const A xi = widen(x[i]);
    const A gi = widen(dy[i]);
    dx[i] = NarrowTo<T>::from(gi * widen(weight[i]) * inverse - xi * projection);
    dweight[i] += gi * xi * inverse;
  }
}

HETMOE_VECTORIZED float forward_row(const float* x, const float* w, float* y, std::int64_t n,
                                    double epsilon) {
  return normalise_row(x, w, y, n, epsilon);
}
HETMOE_VECTORIZED double forward_row(const double* x, const double* w, double* y, std::int64_t n,
                                     double epsilon) {
  return normalise_row(x, w, y, n, epsilon);
}
HETMOE_VECTORIZED float forward_row(const at::BFloat16* x, const at::BFloat16* w, at::BFloat16* y,
                                    std::int64_t n, double epsilon) {
  return normalise_row(x, w, y, n, epsilon);
}
HETMOE_VECTORIZED void gradient_row(const float* dy, const float* x, const float* w, float inverse,
                                    float* dx, float* dw, std::int64_t n) {
  backward_row(dy, x, w, inverse, dx, dw, n);
}
HETMOE_VECTORIZED void gradient_row(const double* dy, const double* x, const double* w,
                                    double inverse, double* dx, double* dw, std::int64_t n) {
  backward_row(dy, x, w, inverse, dx, dw, n);
}
HETMOE_VECTORIZED void gradient_row(const at::BFloat16* dy, const at::BFloat16* x,
                                    const at::BFloat16* w, float inverse, at::BFloat16* dx,
                                    float* dw, std::int64_t n) {
  backward_row(dy, x, w, inverse, dx, dw, n);
}

at::ScalarType arithmetic_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

}  // namespace

RmsNormResult rms_norm_forward(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  HETMOE_CHECK(x.dim() == 2 && x.is_contiguous() && weight.size(0) == x.size(1), "x has ", x.dim(),
               " dimensions; weight has ", weight.numel(), " elements");
  const Operation operation("rms norm", {.bytes = 2 * bytes_of(x)});
  if (!x.is_cpu()) return on_gpu::rms_norm_forward(x, weight, epsilon);
  const std::int64_t rows = x.size(0);
  const std::int64_t columns = x.size(1);
  RmsNormResult result{at::empty_like(x), at::empty({rows}, x.options().dtype(arithmetic_type(x)))};
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, x.scalar_type(), "rms_norm_forward", [&] {
    const auto* px = x.const_data_ptr<scalar_t>();
    const auto* pw = weight.const_data_ptr<scalar_t>();
    auto* py = result.y.mutable_data_ptr<scalar_t>();
    auto* pi = result.inverse_rms.mutable_data_ptr<Arithmetic<scalar_t>>();
    at::parallel_for(0, rows, kRowsPerTask, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        pi[row] = forward_row(px + row * columns, pw, py + row * columns, columns, epsilon);
      }
    });
  });
  return result;
}

at::Tensor rms_norm_backward(const at::Tensor& dy_in, const at::Tensor& x, const at::Tensor& weight,
                             const at::Tensor& inverse_rms, at::Tensor& weight_gradient,
                             GradientSum sum) {
  const Operation operation("rms norm", {.bytes = 3 * bytes_of(x)});
  if (!x.is_cpu()) {
    return on_gpu::rms_norm_backward(dy_in, x, weight, inverse_rms, weight_gradient, sum);
  }
  const at::Tensor dy = dy_in.contiguous();
  const std::int64_t rows = x.size(0);
  const std::int64_t columns = x.size(1);
  const std::int64_t blocks = (rows + kRowsPerPartialSum - 1) / kRowsPerPartialSum;
  at::Tensor dx = at::empty_like(x);
  at::Tensor partial = at::zeros({blocks, columns}, inverse_rms.options());
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, x.scalar_type(), "rms_norm_backward", [&] {
    using A = Arithmetic<scalar_t>;
    const auto* pdy = dy.const_data_ptr<scalar_t>();
    const auto* px = x.const_data_ptr<scalar_t>();
    const auto* pw = weight.const_data_ptr<scalar_t>();
    const auto* pi = inverse_rms.const_data_ptr<A>();
    auto* pdx = dx.mutable_data_ptr<scalar_t>();
    auto* pp = partial.mutable_data_ptr<A>();
    at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t block = begin; block < end; ++block) {
        const std::int64_t last = std::min(rows, (block + 1) * kRowsPerPartialSum);
        for (std::int64_t row = block * kRowsPerPartialSum; row < last; ++row) {
          gradient_row(pdy + row * columns, px + row * columns, pw, pi[row], pdx + row * columns,
                       pp + block * columns, columns);
        }
      }
    });
  });
  if (sum == GradientSum::kBegin) weight_gradient.zero_();  // one row
  for (std::int64_t block = 0; block < blocks; ++block) weight_gradient.add_(partial[block]);
  return dx;
}

}  // namespace hetmoe
