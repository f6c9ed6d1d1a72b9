#pragma once

#include <c10/util/BFloat16.h>

#include <bit>
#include <cmath>
#include <cstdint>

/// Scalar building blocks of hot loops, written so that the compiler vectorises the loop around
/// them. Functions that hold such a loop carry HETMOE_VECTORIZED (set by the build): they are
/// compiled for several instruction sets and chosen at start; the bodies below are inlined into
/// each.
#define HETMOE_INLINE inline __attribute__((always_inline))

namespace hetmoe {

HETMOE_INLINE float widen(c10::BFloat16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.x) << 16);
}
HETMOE_INLINE float widen(float value) { return value; }
HETMOE_INLINE double widen(double value) { return value; }

/// Round to nearest even; NaN stays NaN (its payload may change), without a branch.
HETMOE_INLINE c10::BFloat16 narrow_to_bfloat16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
  const bool is_nan = (bits & 0x7fffffffU) > 0x7f800000U;
  return c10::BFloat16(static_cast<std::uint16_t>(is_nan ? 0x7fc0U : rounded),
                       c10::BFloat16::from_bits());
}

template <typename T>
struct NarrowTo;
template <>
struct NarrowTo<c10::BFloat16> {
  static HETMOE_INLINE c10::BFloat16 from(float value) { return narrow_to_bfloat16(value); }
};
template <>
struct NarrowTo<float> {
  static HETMOE_INLINE float from(float value) { return value; }
};
template <>
struct NarrowTo<double> {
  static HETMOE_INLINE double from(double value) { return value; }
};

/// The type that arithmetic on T is done in: fp32 for bf16, T otherwise.
template <typename T>
struct ArithmeticType {
  using type = T;
};
template <>
struct ArithmeticType<c10::BFloat16> {
  using type = float;
};
template <typename T>
using Arithmetic = typename ArithmeticType<T>::type;

/// exp in fp32 without a library call, so that loops vectorise. Relative error below 2e-7 on
/// [-87, 88], exp(-87) = 2e-38 below; not for larger arguments; NaN stays NaN. exp(x) = 2^n exp(r)
/// with |r| <= ln(2)/2 and a polynomial of degree 6 for exp(r).
HETMOE_INLINE float bounded_exp(float x) {
  const float clamped = x < -87.0F ? -87.0F : x;
  // Adding and taking away 1.5 * 2^23 rounds to the nearest integer.
  const float shifted = clamped * 1.44269504F + 12582912.0F;
  const float n = shifted - 12582912.0F;
  float r = clamped - n * 0.693359375F;
  r = r + n * 2.12194440e-4F;
  float p = 1.38888889e-3F;
  p = p * r + 8.33333333e-3F;
  p = p * r + 4.16666667e-2F;
  p = p * r + 1.66666667e-1F;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  // NaN reaches the conversion too: p stays NaN, any factor will do.
  const std::int32_t exponent = std::bit_cast<std::int32_t>(shifted) - 0x4b400000;
  return p * std::bit_cast<float>((exponent + 127) << 23);
}

/// The same for all arguments: 0 below -87 (never a denormal), infinity above 88.
HETMOE_INLINE float fast_exp(float x) {
  const float value = bounded_exp(x > 88.0F ? 88.0F : x);
  return x < -87.0F ? 0.0F : (x > 88.0F ? __builtin_inff() : value);
}

/// exp in the arithmetic type: fast_exp for fp32, the library's for fp64.
HETMOE_INLINE float exponential(float x) { return fast_exp(x); }
HETMOE_INLINE double exponential(double x) { return std::exp(x); }

/// The same where x <= 0 but for rounding, as after taking away the largest of all.
HETMOE_INLINE float exponential_below_peak(float x) { return bounded_exp(x); }
HETMOE_INLINE double exponential_below_peak(double x) { return std::exp(x); }

/// 1 / (1 + exp(-x)).
HETMOE_INLINE float sigmoid(float x) { return 1.0F / (1.0F + exponential(-x)); }
HETMOE_INLINE double sigmoid(double x) { return 1.0 / (1.0 + exponential(-x)); }

}  // namespace hetmoe
