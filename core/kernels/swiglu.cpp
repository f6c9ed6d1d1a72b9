#include "core/kernels/swiglu.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

#include "core/base/check.h"
#include "core/kernels/vector_math.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kRowsPerTask = 8;
constexpr int kLanes = 16;

template <typename T>
HETMOE_INLINE void forward_body(const T* g, const T* u, Arithmetic<T> gate, T* hidden,
                                std::int64_t width) {
  for (std::int64_t i = 0; i < width; ++i) {
    const Arithmetic<T> x = widen(g[i]);
    hidden[i] = NarrowTo<T>::from(gate * x * sigmoid(x) * widen(u[i]));
  }
}

template <typename T>
struct HiddenGradient {
  Arithmetic<T> dg, du, hidden, dgate;
};

template <typename T>
HETMOE_INLINE HiddenGradient<T> gradient_of_unit(Arithmetic<T> x, Arithmetic<T> up, Arithmetic<T> z,
                                                 Arithmetic<T> gate) {
  using A = Arithmetic<T>;
  const A s = sigmoid(x);
  const A silu = x * s;
  const A a = silu * up;
  const A da = gate * z;
  return {da * up * s * (A(1) + x * (A(1) - s)), da * silu, gate * a, a * z};
}

template <typename T>
HETMOE_INLINE Arithmetic<T> backward_body(T* g, T* u, T* z, Arithmetic<T> gate,
                                          std::int64_t width) {
  using A = Arithmetic<T>;
  A lane[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) {
      const auto unit =
          gradient_of_unit<T>(widen(g[i + j]), widen(u[i + j]), widen(z[i + j]), gate);
      g[i + j] = NarrowTo<T>::from(unit.dg);
      u[i + j] = NarrowTo<T>::from(unit.du);
      z[i + j] = NarrowTo<T>::from(unit.hidden);
      lane[j] += unit.dgate;
    }
  }
  A sum = 0;
  for (int j = 0; j < kLanes; ++j) sum += lane[j];
  for (; i < width; ++i) {
    const auto unit = gradient_of_unit<T>(widen(g[i]), widen(u[i]), widen(z[i]), gate);
    g[i] = NarrowTo<T>::from(unit.dg);
    u[i] = NarrowTo<T>::from(unit.du);
    z[i] = NarrowTo<T>::from(unit.hidden);
    sum += unit.dgate;
  }
  return sum;
}

HETMOE_VECTORIZED void forward_row(const float* g, const float* u, double gate, float* h,
                                   std::int64_t n) {
  forward_body(g, u, static_cast<Arithmetic<std::remove_cvref_t<decltype(*h)>>>(gate), h, n);
}
HETMOE_VECTORIZED void forward_row(const double* g, const double* u, double gate, double* h,
                                   std::int64_t n) {
  forward_body(g, u, static_cast<Arithmetic<std::remove_cvref_t<decltype(*h)>>>(gate), h, n);
}
HETMOE_VECTORIZED void forward_row(const at::BFloat16* g, const at::BFloat16* u, double gate,
                                   at::BFloat16* h, std::int64_t n) {
  forward_body(g, u, static_cast<Arithmetic<std::remove_cvref_t<decltype(*h)>>>(gate), h, n);
}
HETMOE_VECTORIZED float backward_row(float* g, float* u, float* z, double gate, std::int64_t n) {
  return backward_body(g, u, z, static_cast<float>(gate), n);
}
HETMOE_VECTORIZED double backward_row(double* g, double* u, double* z, double gate,
                                      std::int64_t n) {
  return backward_body<double>(g, u, z, gate, n);
}
HETMOE_VECTORIZED float backward_row(at::BFloat16* g, at::BFloat16* u, at::BFloat16* z, double gate,
                                     std::int64_t n) {
  return backward_body(g, u, z, static_cast<float>(gate), n);
}

}  // namespace

void swiglu_forward(const at::Tensor& gate_up, std::span<const double> gates, at::Tensor& hidden) {
  const std::int64_t rows = gate_up.size(0);
  const std::int64_t width = gate_up.size(1) / 2;
  HETMOE_CHECK(static_cast<std::int64_t>(gates.size()) == rows && hidden.size(1) == width,
               gates.size(), " gates for ", rows, " rows");
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, gate_up.scalar_type(), "swiglu_forward", [&] {
    const auto* in = gate_up.const_data_ptr<scalar_t>();
    auto* out = hidden.mutable_data_ptr<scalar_t>();
    at::parallel_for(0, rows, kRowsPerTask, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const auto* g = in + row * 2 * width;
        forward_row(g, g + width, gates[row], out + row * width, width);
      }
    });
  });
}

void swiglu_backward(at::Tensor& gate_up, at::Tensor& dhidden, std::span<const double> gates,
                     std::span<double> dgates) {
  const std::int64_t rows = gate_up.size(0);
  const std::int64_t width = gate_up.size(1) / 2;
  HETMOE_CHECK(static_cast<std::int64_t>(gates.size()) == rows && gates.size() == dgates.size(),
               gates.size(), " gates for ", rows, " rows");
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, gate_up.scalar_type(), "swiglu_backward", [&] {
    auto* in = gate_up.mutable_data_ptr<scalar_t>();
    auto* z = dhidden.mutable_data_ptr<scalar_t>();
    at::parallel_for(0, rows, kRowsPerTask, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        auto* g = in + row * 2 * width;
        dgates[row] = backward_row(g, g + width, z + row * width, gates[row], width);
      }
    });
  });
}

}  // namespace hetmoe
