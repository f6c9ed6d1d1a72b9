#include "core/optim/adamw.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace hetmoe {
namespace {

std::vector<float> normal_values(int seed, std::size_t count, float deviation) {
  std::mt19937 random(static_cast<unsigned>(seed));
  std::normal_distribution<float> normal(0.0F, deviation);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

/// AdamW as its authors write it (arXiv 1711.05101, algorithm 2), in double.
struct PlainAdamW {
  std::vector<double> parameter, m, v;

  explicit PlainAdamW(const std::vector<float>& start)
      : parameter(start.begin(), start.end()), m(start.size(), 0.0), v(start.size(), 0.0) {}

  void update(const std::vector<float>& gradient, const AdamWStep& step, double weight_decay) {
    for (std::size_t i = 0; i < parameter.size(); ++i) {
      const double g = static_cast<double>(gradient[i]) * step.gradient_scale;
      m[i] = step.beta1 * m[i] + (1 - step.beta1) * g;
      v[i] = step.beta2 * v[i] + (1 - step.beta2) * g * g;
      const double m_hat = m[i] / (1 - std::pow(step.beta1, step.update));
      const double v_hat = v[i] / (1 - std::pow(step.beta2, step.update));
      parameter[i] -= step.learning_rate *
                      (m_hat / (std::sqrt(v_hat) + step.epsilon) + weight_decay * parameter[i]);
    }
  }
};

/// Master, moments and copy of one piece.
struct Owned {
  std::vector<float> master, exp_avg, exp_avg_sq;
  std::vector<c10::BFloat16> copy;

  explicit Owned(const std::vector<float>& start)
      : master(start), exp_avg(start.size()), exp_avg_sq(start.size()), copy(start.size()) {}

  AdamWPiece piece(const std::vector<float>& gradient, bool decays, bool with_copy) {
    return {.master = master.data(),
            .gradient = gradient.data(),
            .exp_avg = exp_avg.data(),
            .exp_avg_sq = exp_avg_sq.data(),
            .copy = with_copy ? copy.data() : nullptr,
            .count = static_cast<std::int64_t>(master.size()),
            .decays = decays};
  }
};

constexpr std::size_t kCount = 40001;  // more than one task, and no multiple of a vector

class AdamW : public testing::TestWithParam<std::tuple<bool, bool>> {};

TEST_P(AdamW, FollowsThePublishedFormulaForFiveUpdates) {
  const auto [decays, with_copy] = GetParam();
  const auto start = normal_values(1, kCount, 0.5F);
  PlainAdamW expected(start);
  Owned owned(start);
  for (int update = 1; update <= 5; ++update) {
    const auto gradient = normal_values(10 + update, kCount, 0.02F);
    const AdamWStep step{.learning_rate = 0.01 * update,
                         .beta1 = 0.8,
                         .beta2 = 0.95,
                         .epsilon = 1e-4,
                         .weight_decay = 0.5,
                         .update = update,
                         .gradient_scale = update == 3 ? 0.25 : 1.0};
    adamw_update(std::vector{owned.piece(gradient, decays, with_copy)}, step);
    expected.update(gradient, step, decays ? 0.5 : 0.0);
    for (std::size_t i = 0; i < kCount; ++i) {
      ASSERT_NEAR(owned.master[i], expected.parameter[i], 2e-6) << "update " << update << ", " << i;
      ASSERT_NEAR(owned.exp_avg[i], expected.m[i], 1e-7);
      ASSERT_NEAR(owned.exp_avg_sq[i], expected.v[i], 1e-8);
      if (!with_copy) continue;
      ASSERT_EQ(owned.copy[i].x, c10::BFloat16(owned.master[i]).x) << "not the nearest, " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(DecayAndCopy, AdamW, testing::Combine(testing::Bool(), testing::Bool()));

TEST(AdamWUpdate, GivesTheSameBitsWhateverThePiecesAndThreads) {
  const auto start = normal_values(1, kCount, 0.5F);
  const auto gradient = normal_values(2, kCount, 0.5F);
  const AdamWStep step{.learning_rate = 0.1, .weight_decay = 0.1};
  Owned whole(start);
  adamw_update(std::vector{whole.piece(gradient, true, false)}, step);
  Owned parts(start);
  const AdamWPiece all = parts.piece(gradient, true, false);
  std::vector<AdamWPiece> pieces;
  for (std::int64_t begin = 0; begin < all.count; begin += 9973) {
    pieces.push_back({.master = all.master + begin,
                      .gradient = all.gradient + begin,
                      .exp_avg = all.exp_avg + begin,
                      .exp_avg_sq = all.exp_avg_sq + begin,
                      .count = std::min<std::int64_t>(9973, all.count - begin),
                      .decays = true});
  }
  const int threads = at::get_num_threads();
  at::set_num_threads(3);
  adamw_update(pieces, step);
  at::set_num_threads(threads);
  EXPECT_EQ(whole.master, parts.master);
}

TEST(SumOfSquares, HasTheSameBitsWithAnyNumberOfThreads) {
  const auto values = normal_values(3, 1000003, 100.0F);
  double expected = 0;
  for (const float value : values) expected += static_cast<double>(value) * value;
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const double one = sum_of_squares(values);
  for (const int count : {2, 3, 7}) {
    at::set_num_threads(count);
    EXPECT_EQ(sum_of_squares(values), one) << count << " threads";
  }
  at::set_num_threads(threads);
  EXPECT_NEAR(one / expected, 1.0, 1e-12);
}

TEST(SumOfSquares, CountsEveryValueOnce) {
  for (const std::size_t count : {0UL, 1UL, 15UL, 16UL, 17UL, 32767UL, 32768UL, 32769UL, 98305UL,
                                  2097151UL, 2097152UL, 2097153UL}) {
    EXPECT_EQ(sum_of_squares(std::vector<float>(count, 2.0F)), 4.0 * static_cast<double>(count));
  }
}

TEST(SumOfSquares, OneNonFiniteValueAnywhereShows) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const std::size_t place : {0UL, 13UL, 32768UL, 69999UL}) {
      std::vector<float> values(70000, 1.0F);
      values[place] = bad;
      EXPECT_FALSE(std::isfinite(sum_of_squares(values))) << place;
    }
  }
}

}  // namespace
}  // namespace hetmoe
