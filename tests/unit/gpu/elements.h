#pragma once

#include <gtest/gtest.h>
#include <kernel_language.h>
#include <observed_device.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace hetmoe::test {

/// The nearest value that T has.
template <typename T>
T element(double value);
template <>
inline float element(double value) {
  return static_cast<float>(value);
}
template <>
inline gpu::BFloat16Bits element(double value) {
  return gpu::narrowed(static_cast<float>(value));
}

inline double real(float value) { return value; }
inline double real(gpu::BFloat16Bits value) { return gpu::widened(value); }

/// Relative, of a result with one rounding to T.
template <typename T>
double tolerance();
template <>
inline double tolerance<float>() {
  return 2e-6;
}
template <>
inline double tolerance<gpu::BFloat16Bits>() {
  return 8e-3;
}

/// Normally distributed.
template <typename T>
std::vector<T> random_elements(std::size_t count, double scale = 1, unsigned seed = 11) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  std::vector<T> values;
  for (std::size_t i = 0; i < count; ++i) values.push_back(element<T>(scale * normal(random)));
  return values;
}

}  // namespace hetmoe::test
