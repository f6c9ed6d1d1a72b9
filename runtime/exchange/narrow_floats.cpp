#include "runtime/exchange/narrow_floats.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/base/check.h"

namespace hetmoe {
namespace {

std::uint16_t half_word(std::span<const std::byte> bytes, std::size_t index) {
  std::uint16_t word = 0;
  std::memcpy(&word, bytes.data() + 2 * index, sizeof(word));
  return word;
}

float of_bf16(std::uint16_t word) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(word) << 16U);
}

/// IEEE binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits.
float of_f16(std::uint16_t word) {
  const int exponent = (word >> 10U) & 0x1f;
  const auto fraction = static_cast<float>(word & 0x3ffU);
  const float sign = (word & 0x8000U) != 0 ? -1.0F : 1.0F;
  if (exponent == 0x1f) return fraction == 0 ? sign * HUGE_VALF : std::nanf("");
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(fraction + 1024.0F, exponent - 25);
}

std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>((bits >> 16U) | 0x40U);
  const std::uint32_t to_even = 0x7fffU + ((bits >> 16U) & 1U);
  return static_cast<std::uint16_t>((bits + to_even) >> 16U);
}

}  // namespace

bool is_float_type(TensorType type) {
  return type == TensorType::kF32 || type == TensorType::kBf16 || type == TensorType::kF16;
}

void widen(std::span<const std::byte> bytes, TensorType type, std::span<float> out) {
  HETMOE_CHECK(is_float_type(type) && bytes.size() * 8 == out.size() * bits_of(type), bytes.size(),
               " bytes of ", type_name(type), " for ", out.size(), " values");
  if (type == TensorType::kF32) {
    std::memcpy(out.data(), bytes.data(), bytes.size());
    return;
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::uint16_t word = half_word(bytes, i);
    out[i] = type == TensorType::kBf16 ? of_bf16(word) : of_f16(word);
  }
}

void narrow_to_bf16(std::span<const float> values, std::span<std::byte> out) {
  HETMOE_CHECK(out.size() == 2 * values.size(), out.size(), " bytes for ", values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint16_t word = to_bf16(values[i]);
    std::memcpy(out.data() + 2 * i, &word, sizeof(word));
  }
}

}  // namespace hetmoe
