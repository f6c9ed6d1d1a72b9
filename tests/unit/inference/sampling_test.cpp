#include "runtime/inference/sampling.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/base/error.h"

namespace hetmoe {
namespace {

constexpr int kDraws = 40000;

std::vector<double> shares(std::span<const float> logits, const Sampling& sampling) {
  const CounterRandom random(7, "test");
  std::vector<double> share(logits.size());
  for (int i = 0; i < kDraws; ++i) {
    share[sample_token(logits, sampling, random, i)] += 1.0 / kDraws;
  }
  return share;
}

TEST(Sampling, DrawsTokensAsOftenAsSoftmaxSays) {
  const std::vector<float> logits = {0.5F, -1, 2, 0, -30};
  for (const double temperature : {0.5, 1.0, 3.0}) {
    double sum = 0;
    for (const float logit : logits) sum += std::exp(logit / temperature);
    const std::vector<double> share = shares(logits, {.temperature = temperature});
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
  EXPECT_EQ(sample_token(std::array{1.0F, 3.0F, 2.0F, 3.0F}, {.temperature = 0}, random, 5), 1);
  EXPECT_EQ(sample_token(std::array{-4.0F}, {.temperature = 0}, random, 0), 0);
}

TEST(Sampling, ExtremeTemperaturesNeitherOverflowNorVanish) {
  const CounterRandom random(7, "test");
  const std::array logits = {-3e38F, 3e38F, 0.0F};
  for (std::uint64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(sample_token(logits, {.temperature = 1e-300}, random, i), 1);
  }
  for (const double share : shares(std::array{-5.0F, 5.0F}, {.temperature = 1e12}))
    EXPECT_NEAR(share, 0.5, 0.02);
}

TEST(Sampling, DependsOnSeedAndPositionOnly) {
  const std::vector<float> logits(50, 0.0F);
  const auto drawn = [&](std::uint64_t seed) {
    const CounterRandom random(seed, "test");
    std::vector<std::int32_t> tokens;
    for (std::uint64_t i = 0; i < 20; ++i) tokens.push_back(sample_token(logits, {}, random, i));
    return tokens;
  };
  EXPECT_EQ(drawn(1), drawn(1));
  EXPECT_NE(drawn(1), drawn(2));
}

/// By definition, each token by itself, without an order: how many are likelier, and how likely are
/// those together that come before it.
std::vector<double> chances_by_definition(std::span<const float> logits, const Sampling& sampling) {
  const std::size_t count = logits.size();
  std::vector<double> p(count);
  for (std::size_t i = 0; i < count; ++i) p[i] = std::exp(logits[i] / sampling.temperature);
  if (sampling.top_k > 0) {
    std::vector<double> kept = p;
    for (std::size_t i = 0; i < count; ++i) {
      std::int64_t likelier = 0;
      for (std::size_t j = 0; j < count; ++j) likelier += p[j] > p[i];
      if (likelier >= sampling.top_k) kept[i] = 0;
    }
    p = kept;
  }
  double sum = 0;
  for (const double each : p) sum += each;
  std::vector<double> kept = p;
  for (std::size_t i = 0; i < count; ++i) {
    double before = 0;
    bool is_first = true;
    for (std::size_t j = 0; j < count; ++j) {
      if (p[j] < p[i] || (p[j] == p[i] && j >= i)) continue;
      before += p[j] / sum;
      is_first = false;
    }
    if (!is_first && before >= sampling.top_p) kept[i] = 0;
  }
  return kept;
}

TEST(Sampling, ChancesAreThoseOfTheDefinition) {
  const CounterRandom random(3, "logits");
  for (std::uint64_t row = 0; row < 200; ++row) {
    const std::size_t count = 1 + row % 23;
    std::vector<float> logits(count);
    random.fill_normal(row, 2, logits);
    if (count > 4) logits[4] = logits[1];  // as likely as another
    for (const std::int64_t top_k : {0, 1, 2, 5, 40}) {
      for (const double top_p : {1.0, 0.9, 0.5, 0.01}) {
        const Sampling sampling{.temperature = row % 2 ? 1.0 : 0.6, .top_k = top_k, .top_p = top_p};
        const std::vector<double> expected = chances_by_definition(logits, sampling);
        const std::vector<double> chances = token_chances(logits, sampling);
        double expected_sum = 0;
        double sum = 0;
        for (std::size_t i = 0; i < count; ++i) {
          expected_sum += expected[i];
          sum += chances[i];
        }
        for (std::size_t i = 0; i < count; ++i) {
          EXPECT_NEAR(chances[i] / sum, expected[i] / expected_sum, 1e-12)
              << "row " << row << " token " << i << " top-k " << top_k << " top-p " << top_p;
        }
      }
    }
  }
}

TEST(Sampling, HandMadeChances) {
  // softmax: 0.5, 0.25, 0.125, 0.125.
  const std::array logits = {std::log(4.0F), std::log(2.0F), 0.0F, 0.0F};
  const auto kept = [&](const Sampling& sampling) {
    std::string text;
    for (const double chance : token_chances(logits, sampling)) text += chance > 0 ? '1' : '0';
    return text;
  };
  EXPECT_EQ(kept({}), "1111");
  EXPECT_EQ(kept({.top_k = 1}), "1000");
  EXPECT_EQ(kept({.top_k = 3}), "1111");  // the fourth is as likely as the third
  EXPECT_EQ(kept({.top_p = 0.45}), "1000");
  EXPECT_EQ(kept({.top_p = 0.55}), "1100");
  EXPECT_EQ(kept({.top_p = 0.8}), "1110");  // of equal ones the lower id
  EXPECT_EQ(kept({.top_p = 0.9}), "1111");
  // Of the two likeliest the first has two thirds.
  EXPECT_EQ(kept({.top_k = 2, .top_p = 0.6}), "1000");
  EXPECT_EQ(kept({.top_k = 2, .top_p = 0.7}), "1100");
  // Temperature comes first: at 0.5 they are 16, 4, 1, 1 of 22.
  EXPECT_EQ(kept({.temperature = 0.5, .top_p = 0.7}), "1000");
}

TEST(Sampling, DrawsWhatIsLeftAsOftenAsItsChancesSay) {
  const std::vector<float> logits = {0.5F, -1, 2, 0, 1.5F};
  const Sampling sampling{.temperature = 1.3, .top_k = 4, .top_p = 0.85};
  const std::vector<double> expected = chances_by_definition(logits, sampling);
  double sum = 0;
  for (const double chance : expected) sum += chance;
  const std::vector<double> share = shares(logits, sampling);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double p = expected[i] / sum;
    if (p == 0) {
      EXPECT_EQ(share[i], 0) << i;
    }
    EXPECT_NEAR(share[i], p, 5 * std::sqrt(p * (1 - p) / kDraws) + 1e-9) << i;
  }
}

TEST(Sampling, NamesALogitThatIsNotFinite) {
  const CounterRandom random(7, "test");
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const double temperature : {0.0, 1.0}) {
      try {
        sample_token(std::array{1.0F, bad}, {.temperature = temperature}, random, 0);
        FAIL() << bad;
      } catch (const Error& error) {
        EXPECT_EQ(error.exit_code(), ExitCode::kNonFinite);
        EXPECT_STREQ(error.what(), "the logit of token 1 is not finite: the model has diverged");
      }
    }
  }
}

}  // namespace
}  // namespace hetmoe
