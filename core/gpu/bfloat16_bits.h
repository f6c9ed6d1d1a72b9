#pragma once

#include <bit>
#include <cstdint>

namespace hetmoe::gpu {

/// bf16 as it lies in memory.
struct BFloat16Bits {
  std::uint16_t bits = 0;
};

/// For hosts; kernels use widen and narrow of their language, which are one instruction.
inline float widened(BFloat16Bits value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
}

/// Rounds to nearest even; a NaN stays one.
inline BFloat16Bits narrowed(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return {static_cast<std::uint16_t>((bits >> 16) | 0x40U)};
  return {static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16)};
}

}  // namespace hetmoe::gpu
