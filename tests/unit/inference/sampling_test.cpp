#include "runtime/inference/sampling.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "core/base/error.h"

namespace hetmoe {
namespace {

constexpr int kDraws = 40000;

std::vector<double> shares(std::span<const float> logits, double temperature) {
  const CounterRandom random(7, "test");
  std::vector<double> share(logits.size());
  for (int i = 0; i < kDraws; ++i) {
    share[sample_token(logits, temperature, random, i)] += 1.0 / kDraws;
  }
  return share;
}

TEST(Sampling, DrawsTokensAsOftenAsSoftmaxSays) {
  const std::vector<float> logits = {0.5F, -1, 2, 0, -30};
  for (const double temperature : {0.5, 1.0, 3.0}) {
    double sum = 0;
    for (const float logit : logits) sum += std::exp(logit / temperature);
    const std::vector<double> share = shares(logits, temperature);
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const double expected = std::exp(logits[i] / temperature) / sum;
      // Five standard deviations.
      const double deviation = std::sqrt(expected * (1 - expected) / kDraws);
      EXPECT_NEAR(share[i], expected, 5 * deviation + 1e-9) << i << " at " << temperature;
    }
  }
}

TEST(Sampling, ZeroTemperatureTakesTheLargestAndOfEqualOnesTheFirst) {
  const CounterRandom random(7, "test");
  EXPECT_EQ(sample_token(std::array{1.0F, 3.0F, 2.0F, 3.0F}, 0, random, 5), 1);
  EXPECT_EQ(sample_token(std::array{-4.0F}, 0, random, 0), 0);
}

TEST(Sampling, ExtremeTemperaturesNeitherOverflowNorVanish) {
  const CounterRandom random(7, "test");
  const std::array logits = {-3e38F, 3e38F, 0.0F};
  for (std::uint64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(sample_token(logits, 1e-300, random, i), 1);
  }
  for (const double share : shares(std::array{-5.0F, 5.0F}, 1e12)) EXPECT_NEAR(share, 0.5, 0.02);
}

TEST(Sampling, DependsOnSeedAndPositionOnly) {
  const std::vector<float> logits(50, 0.0F);
  const auto drawn = [&](std::uint64_t seed) {
    const CounterRandom random(seed, "test");
    std::vector<std::int32_t> tokens;
    for (std::uint64_t i = 0; i < 20; ++i) tokens.push_back(sample_token(logits, 1, random, i));
    return tokens;
  };
  EXPECT_EQ(drawn(1), drawn(1));
  EXPECT_NE(drawn(1), drawn(2));
}

TEST(Sampling, NamesALogitThatIsNotFinite) {
  const CounterRandom random(7, "test");
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    try {
      sample_token(std::array{1.0F, bad}, 0, random, 0);
      FAIL() << bad;
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), ExitCode::kNonFinite);
      EXPECT_STREQ(error.what(), "the logit of token 1 is not finite: the model has diverged");
    }
  }
}

}  // namespace
}  // namespace hetmoe
