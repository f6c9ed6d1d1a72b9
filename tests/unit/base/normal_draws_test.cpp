#include "core/base/normal_draws.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <vector>

#include "core/base/random.h"

namespace hetmoe {
namespace {

constexpr std::uint64_t kQuarterTurn = 1U << 30;

/// How many values differ from the library's in a single bit.
std::int64_t different_bits(const std::vector<std::uint64_t>& draws, double standard_deviation) {
  std::vector<float> fast(2 * draws.size());
  std::vector<float> plain(2 * draws.size());
  normals_from_draws(draws, standard_deviation, fast);
  normals_by_library(draws, standard_deviation, plain);
  std::int64_t different = 0;
  for (std::size_t i = 0; i < fast.size(); ++i) {
    different += std::bit_cast<std::uint32_t>(fast[i]) != std::bit_cast<std::uint32_t>(plain[i]);
  }
  return different;
}

TEST(NormalDraws, HaveTheBitsOfTheLibraryForRandomDraws) {
  const CounterRandom random(11, "draws");
  std::vector<std::uint64_t> draws(1 << 16);
  for (int row = 0; row < 40; ++row) {
    for (std::size_t j = 0; j < draws.size(); ++j) draws[j] = random.bits(row, j);
    ASSERT_EQ(different_bits(draws, row % 2 == 0 ? 0.02 : 1.0), 0) << "row " << row;
  }
}

/// Where cosine or sine nearly vanishes, the rounding of the angle is what is left of it.
TEST(NormalDraws, HaveTheBitsOfTheLibraryAroundQuarterTurns) {
  const CounterRandom random(12, "radius");
  std::vector<std::uint64_t> draws;
  for (std::uint64_t quarter = 0; quarter < 4; ++quarter) {
    for (std::uint64_t step = 0; step < 50000; ++step) {
      const std::uint64_t radius = random.bits(quarter, step) & 0xffffffff00000000U;
      for (const std::uint64_t angle :
           {quarter * kQuarterTurn + step, quarter * kQuarterTurn - step}) {
        draws.push_back(radius | (angle & 0xffffffffU));
      }
    }
  }
  EXPECT_EQ(different_bits(draws, 0.02), 0);
}

/// The largest and smallest radii, the ends of the logarithm's pieces, and zeros with their signs.
TEST(NormalDraws, HaveTheBitsOfTheLibraryAtTheEndsOfTheRadius) {
  std::vector<std::uint64_t> draws;
  for (const std::uint64_t center : {0x0ULL, 0xffffffffULL, 0xb504f333ULL, 0x7fffffffULL}) {
    for (std::uint64_t step = 0; step < 10000; ++step) {
      for (const std::uint64_t radius : {center + step, center - step}) {
        draws.push_back((radius << 32) | ((step * 0x9e3779b9U) & 0xffffffffU));
        draws.push_back((radius << 32) | ((step % 4) * kQuarterTurn));
      }
    }
  }
  EXPECT_EQ(different_bits(draws, 1.0), 0);
  EXPECT_EQ(different_bits(draws, 1e-30), 0);
  EXPECT_EQ(different_bits(draws, 1e-44), 0);
  EXPECT_EQ(different_bits(draws, 0.0), 0);
}

/// Found among a billion: two draws whose fp64 values, off by a rounding, lie on the other side of
/// the middle between two fp32 values.
TEST(NormalDraws, HaveTheBitsOfTheLibraryWhereARoundingDecides) {
  EXPECT_EQ(different_bits({0xfb8b24681ca9faf1U, 0x6464cf98deb65d38U}, 1.0), 0);
}

TEST(NormalDraws, DoNotDependOnHowManyAreFilledAtOnce) {
  const CounterRandom random(13, "sizes");
  std::vector<std::uint64_t> draws(700);
  for (std::size_t j = 0; j < draws.size(); ++j) draws[j] = random.bits(0, j);
  std::vector<float> all(2 * draws.size());
  normals_from_draws(draws, 0.5, all);
  for (const std::size_t count : {0, 1, 2, 3, 255, 511, 512, 513, 1025, 1399}) {
    std::vector<float> some(count);
    normals_from_draws(std::span(draws).first((count + 1) / 2), 0.5, some);
    EXPECT_EQ(some, std::vector<float>(all.begin(), all.begin() + static_cast<int>(count)));
  }
}

}  // namespace
}  // namespace hetmoe
