#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace hetmoe {

/// Largest difference between `analytic` and central finite differences of `value` with respect to
/// the elements of `at` (fp64, changed in place and restored), over the largest gradient.
double relative_gradient_error(const std::function<double()>& value, at::Tensor at,
                               const at::Tensor& analytic, double step = 1e-5);

/// Normal values, fp64, the same on every run.
at::Tensor test_values(const char* name, at::IntArrayRef shape, double deviation = 1.0);

/// sum(a * b): turns a tensor into a scalar with gradient b.
double inner_product(const at::Tensor& a, const at::Tensor& b);

/// |a - b| / max(|b|, tiny), in the Euclidean norm.
double relative_difference(const at::Tensor& a, const at::Tensor& b);

}  // namespace hetmoe
