#include "runtime/exchange/narrow_floats.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace hetmoe {
namespace {

float widened(std::uint16_t word, TensorType type) {
  float value = 0;
  widen(std::as_bytes(std::span(&word, 1)), type, std::span(&value, 1));
  return value;
}

std::uint16_t narrowed(float value) {
  std::uint16_t word = 0;
  narrow_to_bf16(std::span(&value, 1), std::as_writable_bytes(std::span(&word, 1)));
  return word;
}

TEST(NarrowFloats, EveryBf16ComesBackAsItWas) {
  for (std::uint32_t word = 0; word < 0x10000; ++word) {
    const float value = widened(static_cast<std::uint16_t>(word), TensorType::kBf16);
    if (std::isnan(value)) continue;
    ASSERT_EQ(narrowed(value), word);
  }
}

TEST(NarrowFloats, RoundsToTheNearestAndTiesToEven) {
  EXPECT_EQ(narrowed(std::bit_cast<float>(0x3f808000U)), 0x3f80);  // a tie, even below
  EXPECT_EQ(narrowed(std::bit_cast<float>(0x3f818000U)), 0x3f82);  // a tie, even above
  EXPECT_EQ(narrowed(std::bit_cast<float>(0x3f808001U)), 0x3f81);
  EXPECT_EQ(narrowed(std::bit_cast<float>(0x3f807fffU)), 0x3f80);
  EXPECT_EQ(narrowed(std::numeric_limits<float>::max()), 0x7f80);  // infinity
  EXPECT_TRUE(std::isnan(widened(narrowed(std::bit_cast<float>(0x7f800001U)), TensorType::kBf16)));
}

TEST(NarrowFloats, HalvesAreWhatTheFormatSays) {
  EXPECT_EQ(widened(0x3c00, TensorType::kF16), 1.0F);
  EXPECT_EQ(widened(0xc000, TensorType::kF16), -2.0F);
  EXPECT_EQ(widened(0x7bff, TensorType::kF16), 65504.0F);
  EXPECT_EQ(widened(0x3555, TensorType::kF16), 0.333251953125F);
  EXPECT_EQ(widened(0x0400, TensorType::kF16), std::ldexp(1.0F, -14));
  EXPECT_EQ(widened(0x0001, TensorType::kF16), std::ldexp(1.0F, -24));  // subnormal
  EXPECT_TRUE(std::signbit(widened(0x8000, TensorType::kF16)));
  EXPECT_EQ(widened(0xfc00, TensorType::kF16), -std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(widened(0x7c01, TensorType::kF16)));
}

}  // namespace
}  // namespace hetmoe
