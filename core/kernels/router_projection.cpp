#include "core/kernels/router_projection.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <vector>

#include "core/base/check.h"
#include "core/kernels/vector_math.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kRowsPerTask = 16;
// One partial sum of the weight's gradient per fixed block of rows.
constexpr std::int64_t kRowsPerPartialSum = 256;
constexpr int kLanes = 16;

template <typename T>
HETMOE_INLINE void widen_values(const T* in, Arithmetic<T>* out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = widen(in[i]);
}

template <typename A>
HETMOE_INLINE A inner_product(const A* a, const A* b, std::int64_t count) {
  A lane[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) lane[j] += a[i + j] * b[i + j];
  }
  A sum = 0;
  for (int j = 0; j < kLanes; ++j) sum += lane[j];
  for (; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

/// One row: widened into `wide`, then its logits.
template <typename T>
HETMOE_INLINE void logits_of_row(const T* x, Arithmetic<T>* wide, const Arithmetic<T>* weight,
                                 std::int64_t experts, std::int64_t columns,
                                 Arithmetic<T>* logits) {
  widen_values(x, wide, columns);
  for (std::int64_t e = 0; e < experts; ++e) {
    logits[e] = inner_product(wide, weight + e * columns, columns);
  }
}

/// One row: dx += sum over e of d[e] weight[e], gradient[e] += d[e] x.
template <typename T>
HETMOE_INLINE void gradients_of_row(const Arithmetic<T>* d, const T* x, const Arithmetic<T>* weight,
                                    std::int64_t experts, std::int64_t columns, Arithmetic<T>* wide,
                                    T* dx, Arithmetic<T>* gradient) {
  widen_values(dx, wide, columns);
  for (std::int64_t e = 0; e < experts; ++e) {
    const Arithmetic<T> factor = d[e];
    const Arithmetic<T>* w = weight + e * columns;
    Arithmetic<T>* g = gradient + e * columns;
    for (std::int64_t i = 0; i < columns; ++i) {
      wide[i] += factor * w[i];
      g[i] += factor * widen(x[i]);
    }
  }
  for (std::int64_t i = 0; i < columns; ++i) dx[i] = NarrowTo<T>::from(wide[i]);
}

#define HETMOE_ROUTER_ROWS(T, A)                                                                   \
  HETMOE_VECTORIZED void row_logits(const T* x, A* wide, const A* weight, std::int64_t experts,    \
                                    std::int64_t columns, A* logits) {                             \
    logits_of_row(x, wide, weight, experts, columns, logits);                                      \
  }                                                                                                \
  HETMOE_VECTORIZED void row_gradients(const A* d, const T* x, const A* weight,                    \
                                       std::int64_t experts, std::int64_t columns, A* wide, T* dx, \
                                       A* gradient) {                                              \
    gradients_of_row(d, x, weight, experts, columns, wide, dx, gradient);                          \
  }
HETMOE_ROUTER_ROWS(float, float)
HETMOE_ROUTER_ROWS(double, double)
HETMOE_ROUTER_ROWS(at::BFloat16, float)
#undef HETMOE_ROUTER_ROWS

at::ScalarType wide_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

}  // namespace

at::Tensor router_logits(const at::Tensor& x, const at::Tensor& weight) {
  HETMOE_CHECK(x.is_contiguous() && x.size(1) == weight.size(1), "rows of ", x.size(1),
               ", weights of ", weight.size(1));
  const std::int64_t columns = x.size(1);
  const std::int64_t experts = weight.size(0);
  const at::Tensor wide_weight = weight.to(wide_type(x)).contiguous();
  at::Tensor logits = at::empty({x.size(0), experts}, wide_weight.options());
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, x.scalar_type(), "router_logits", [&] {
    using A = Arithmetic<scalar_t>;
    const auto* in = x.const_data_ptr<scalar_t>();
    const auto* w = wide_weight.const_data_ptr<A>();
    auto* out = logits.mutable_data_ptr<A>();
    at::parallel_for(0, x.size(0), kRowsPerTask, [&](std::int64_t begin, std::int64_t end) {
      std::vector<A> wide(columns);
      for (std::int64_t row = begin; row < end; ++row) {
        row_logits(in + row * columns, wide.data(), w, experts, columns, out + row * experts);
      }
    });
  });
  return logits;
}

void router_gradients(const at::Tensor& dlogits, const at::Tensor& x, const at::Tensor& weight,
                      at::Tensor& dx, at::Tensor& gradient, GradientSum sum) {
  HETMOE_CHECK(x.is_contiguous() && dx.is_contiguous() && dlogits.is_contiguous() &&
                   dx.sizes() == x.sizes() && dlogits.size(0) == x.size(0),
               "x, dx and dlogits of ", x.size(0), ", ", dx.size(0), " and ", dlogits.size(0),
               " rows");
  const std::int64_t rows = x.size(0);
  const std::int64_t columns = x.size(1);
  const std::int64_t experts = weight.size(0);
  const std::int64_t blocks = (rows + kRowsPerPartialSum - 1) / kRowsPerPartialSum;
  const at::Tensor wide_weight = weight.to(wide_type(x)).contiguous();
  at::Tensor partial = at::zeros({blocks, experts, columns}, wide_weight.options());
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, x.scalar_type(), "router_gradients", [&] {
    using A = Arithmetic<scalar_t>;
    const auto* d = dlogits.const_data_ptr<A>();
    const auto* in = x.const_data_ptr<scalar_t>();
    const auto* w = wide_weight.const_data_ptr<A>();
    auto* out = dx.mutable_data_ptr<scalar_t>();
    auto* sums = partial.mutable_data_ptr<A>();
    at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
      std::vector<A> wide(columns);
      for (std::int64_t row = begin * kRowsPerPartialSum;
           row < std::min(rows, end * kRowsPerPartialSum); ++row) {
        row_gradients(d + row * experts, in + row * columns, w, experts, columns, wide.data(),
                      out + row * columns, sums + row / kRowsPerPartialSum * experts * columns);
      }
    });
  });
  if (sum == GradientSum::kBegin) gradient.zero_();
  for (std::int64_t block = 0; block < blocks; ++block) gradient.add_(partial[block]);
}

}  // namespace hetmoe
