#include "core/kernels/narrow.h"
#include "core/kernels/processor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace hetmoe {
namespace {

using Narrow = decltype(&plain_narrow_rows);

/// Rows of odd sizes within larger ones, whose other columns must stay.
void expect_rounded(Narrow narrow) {
  for (const std::int64_t columns : {1, 15, 32, 33, 64}) {
    constexpr std::int64_t kRows = 3, kSourceStride = 70, kTargetStride = 67;
    std::vector<float> source(kRows * kSourceStride);
    for (std::size_t i = 0; i < source.size(); ++i) {
      source[i] = std::sin(static_cast<float>(i)) * std::pow(10.0F, static_cast<float>(i % 9) - 4);
    }
    source[0] = std::numeric_limits<float>::infinity();
    const c10::BFloat16 untouched(0x1234, c10::BFloat16::from_bits());
    std::vector<c10::BFloat16> target(kRows * kTargetStride, untouched);
    narrow(source.data(), kSourceStride, kRows, columns, target.data(), kTargetStride, 0.5F);
    for (std::int64_t i = 0; i < kRows; ++i) {
      for (std::int64_t j = 0; j < kTargetStride; ++j) {
        const c10::BFloat16 expected =
            j < columns ? c10::BFloat16(0.5F * source[i * kSourceStride + j]) : untouched;
        ASSERT_EQ(target[i * kTargetStride + j].x, expected.x) << columns << ": " << i << "," << j;
      }
    }
  }
  const float nan = std::numeric_limits<float>::quiet_NaN();
  c10::BFloat16 narrowed;
  narrow(&nan, 1, 1, 1, &narrowed, 1, 1.0F);
  EXPECT_TRUE(std::isnan(static_cast<float>(narrowed)));
}

TEST(NarrowRows, PlainLoopsRoundToNearestEven) { expect_rounded(plain_narrow_rows); }

TEST(NarrowRows, TheProcessorsOwnInstructionDoes) {
  if (!has_avx512_bf16()) GTEST_SKIP() << "no AVX-512 with bf16 on this processor";
  expect_rounded(avx512_narrow_rows);
}

}  // namespace
}  // namespace hetmoe
