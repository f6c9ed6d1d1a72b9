#include "core/base/normal_draws.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <numbers>

#include "core/base/check.h"

#define HETMOE_INLINE inline __attribute__((always_inline))

namespace hetmoe {
namespace {

constexpr std::size_t kBlock = 256;  ///< draws whose results lie on the stack
constexpr double kTwoPi = 2.0 * std::numbers::pi;

struct Pair {
  double first, second;
};

Pair pair_by_library(std::uint64_t draw, double standard_deviation) {
  // (0, 1]: the logarithm must be finite.
  const double u = (static_cast<double>(draw >> 32) + 1.0) * 0x1.0p-32;
  const double v = static_cast<double>(draw & 0xffffffffU) * 0x1.0p-32;
  const double radius = standard_deviation * std::sqrt(-2.0 * std::log(u));
  const double angle = kTwoPi * v;
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

/// Exact below 2^52, and vectorises where no instruction converts 64-bit integers.
HETMOE_INLINE double to_double(std::uint64_t integer) {
  return std::bit_cast<double>(integer | 0x4330000000000000U) - 0x1.0p52;
}

/// Natural logarithm of a normal number in (0, 1], relative error below 2^-50. u = 2^k m with m in
/// [sqrt(1/2), sqrt(2)); log(m) by the polynomial of FreeBSD's e_log.c in s = f / (2 + f).
HETMOE_INLINE double logarithm(double u) {
  constexpr std::uint64_t kRootHalf = 0x3fe6a09e00000000U;
  constexpr std::uint64_t kOne = 0x3ff0000000000000U;
  const std::uint64_t bits = std::bit_cast<std::uint64_t>(u) + (kOne - kRootHalf);
  const double k = to_double(bits >> 52) - 1023.0;
  const double f = std::bit_cast<double>((bits & 0x000fffffffffffffU) + kRootHalf) - 1.0;
  const double s = f / (2.0 + f);
  const double z = s * s;
  double p = 1.479819860511658591e-01;
  p = p * z + 1.531383769920937332e-01;
  p = p * z + 1.818357216161805012e-01;
  p = p * z + 2.222219843214978396e-01;
  p = p * z + 2.857142874366239149e-01;
  p = p * z + 3.999999999940941908e-01;
  p = p * z + 6.666666666666735130e-01;
  const double half_square = 0.5 * f * f;
  const double low = s * (half_square + p * z) + k * 1.90821492927058770002e-10;
  return low - half_square + f + k * 6.93147180369123816490e-01;
}

/// On [-pi/4, pi/4]: FreeBSD's k_sin.c and k_cos.c.
HETMOE_INLINE double sine(double r, double z) {
  double p = 1.58969099521155010221e-10;
  p = p * z - 2.50507602534068634195e-08;
  p = p * z + 2.75573137070700676789e-06;
  p = p * z - 1.98412698298579493134e-04;
  p = p * z + 8.33333333332248946124e-03;
  p = p * z - 1.66666666666666324348e-01;
  return r + r * z * p;
}
HETMOE_INLINE double cosine(double z) {
  double p = -1.13596475577881948265e-11;
  p = p * z + 2.08757232129817482790e-09;
  p = p * z - 2.75573143513906633035e-07;
  p = p * z + 2.48015872894767294178e-05;
  p = p * z - 1.38888888888741095749e-03;
  p = p * z + 4.16666666666666019037e-02;
  return 1.0 - 0.5 * z + z * z * p;
}

HETMOE_INLINE double with_sign(double value, std::uint64_t negative) {
  return std::bit_cast<double>(std::bit_cast<std::uint64_t>(value) ^ (negative << 63));
}

/// 1 where an error of 2^-42 could change the fp32 value: near the middle of two, or so small that
/// fp32 is denormal (zeros, whose sign must be right, included).
HETMOE_INLINE std::uint64_t doubtful(double value) {
  constexpr std::uint64_t kMiddle = 1U << 28;
  constexpr std::uint64_t kMargin = 1U << 10;
  const std::uint64_t bits = std::bit_cast<std::uint64_t>(value);
  const std::uint64_t below_middle = (bits & 0x1fffffffU) - kMiddle + kMargin;
  const std::uint64_t exponent = (bits >> 52) & 0x7ffU;
  return static_cast<std::uint64_t>(below_middle < 2 * kMargin) |
         static_cast<std::uint64_t>(exponent < 1023 - 120);
}

/// Returns whether one of the values is doubtful.
HETMOE_VECTORIZED std::uint64_t fill_pairs(const std::uint64_t* draws, std::size_t count,
                                           double standard_deviation, float* out) {
  std::uint64_t doubt = 0;
  for (std::size_t j = 0; j < count; ++j) {
    const std::uint64_t low = draws[j] & 0xffffffffU;
    const double u = (to_double(draws[j] >> 32) + 1.0) * 0x1.0p-32;
    const double radius = standard_deviation * __builtin_sqrt(-2.0 * logarithm(u));
    // The library's argument, rounded as there, from the nearest multiple of pi/2, whose first 33
    // bits make the first difference exact.
    const std::uint64_t quarter = (low + (1U << 29)) >> 30;
    const double quarters = to_double(quarter);
    const double angle = kTwoPi * (to_double(low) * 0x1.0p-32);
    const double r =
        (angle - quarters * 1.57079632673412561417e+00) - quarters * 6.07710050650619224932e-11;
    const double z = r * r;
    const double s = sine(r, z);
    const double c = cosine(z);
    const bool swapped = (quarter & 1U) != 0;
    const double first = radius * with_sign(swapped ? s : c, ((quarter + 1) >> 1) & 1U);
    const double second = radius * with_sign(swapped ? c : s, (quarter >> 1) & 1U);
    // At whole quarters what is left of the difference is rounding.
    const bool whole = (low & 0x3fffffffU) == 0;
    doubt |= doubtful(first) | doubtful(second) | static_cast<std::uint64_t>(whole);
    out[2 * j] = static_cast<float>(first);
    out[2 * j + 1] = static_cast<float>(second);
  }
  return doubt;
}

}  // namespace

void normals_by_library(std::span<const std::uint64_t> draws, double standard_deviation,
                        std::span<float> out) {
  for (std::size_t column = 0; column < out.size(); column += 2) {
    const Pair pair = pair_by_library(draws[column / 2], standard_deviation);
    out[column] = static_cast<float>(pair.first);
    if (column + 1 < out.size()) out[column + 1] = static_cast<float>(pair.second);
  }
}

void normals_from_draws(std::span<const std::uint64_t> draws, double standard_deviation,
                        std::span<float> out) {
  HETMOE_CHECK(draws.size() == (out.size() + 1) / 2, draws.size(), " draws for ", out.size(),
               " values");
  std::array<float, 2 * kBlock> values;
  for (std::size_t begin = 0; begin < draws.size(); begin += kBlock) {
    const auto block = draws.subspan(begin, std::min(kBlock, draws.size() - begin));
    const auto target = out.subspan(2 * begin, std::min(2 * kBlock, out.size() - 2 * begin));
    if (fill_pairs(block.data(), block.size(), standard_deviation, values.data()) != 0) {
      normals_by_library(block, standard_deviation, target);
    } else {
      std::copy_n(values.begin(), target.size(), target.begin());
    }
  }
}

}  // namespace hetmoe
