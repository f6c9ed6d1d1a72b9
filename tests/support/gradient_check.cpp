#include "tests/support/gradient_check.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/random.h"

namespace hetmoe {

double relative_gradient_error(const std::function<double()>& value, at::Tensor at,
                               const at::Tensor& analytic, double step) {
  auto* elements = at.mutable_data_ptr<double>();
  const at::Tensor expected = analytic.contiguous();
  const auto* gradient = expected.const_data_ptr<double>();
  double worst = 0;
  double largest = 1e-12;
  for (std::int64_t i = 0; i < at.numel(); ++i) {
    const double kept = elements[i];
    elements[i] = kept + step;
    const double above = value();
    elements[i] = kept - step;
    const double below = value();
    elements[i] = kept;
    const double numeric = (above - below) / (2 * step);
    worst = std::max(worst, std::abs(numeric - gradient[i]));
    largest = std::max(largest, std::abs(numeric));
  }
  return worst / largest;
}

at::Tensor test_values(const char* name, at::IntArrayRef shape, double deviation) {
  at::Tensor tensor = at::empty(shape, at::TensorOptions(at::kDouble));
  std::vector<float> values(static_cast<std::size_t>(tensor.numel()));
  CounterRandom(17, name).fill_normal(0, deviation, values);
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<double>());
  return tensor;
}

double inner_product(const at::Tensor& a, const at::Tensor& b) {
  return a.mul(b).sum().item<double>();
}

double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  const double scale = b.to(at::kDouble).norm().item<double>();
  return a.to(at::kDouble).sub(b.to(at::kDouble)).norm().item<double>() / std::max(scale, 1e-30);
}

}  // namespace hetmoe
