#include "core/data/mixture_schedule.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "core/base/error.h"

namespace hetmoe {
namespace {

using testing::ElementsAre;

/// How far any source is from its share after any of the first `places` places, at most. Checks on
/// the way that samples of each source count 0, 1, 2, ... and that counts() agrees.
double largest_error(const std::vector<double>& weights, std::int64_t places) {
  const MixtureSchedule schedule(weights);
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<std::int64_t> taken(weights.size());
  double largest = 0;
  for (std::int64_t index = 0; index < places; ++index) {
    const MixtureSchedule::Place place = schedule.at(index);
    EXPECT_EQ(place.sample, taken.at(static_cast<std::size_t>(place.source))++);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const double share = static_cast<double>(index + 1) * weights[i] / sum;
      largest = std::max(largest, std::abs(static_cast<double>(taken[i]) - share));
    }
  }
  EXPECT_EQ(schedule.counts(places), taken);
  return largest;
}

TEST(MixtureSchedule, KeepsSharesAfterAnyNumberOfPlaces) {
  EXPECT_LE(largest_error({0.7, 0.3}, 1000), 0.5 + 1e-9);
  EXPECT_LT(largest_error({1, 1, 1}, 1000), 1);
  EXPECT_LT(largest_error({1e-9, 1, 1e9}, 1000), 1);
  EXPECT_LT(largest_error({0.1, 0.2, 0.3, 0.4}, 1000), 1.25);
  EXPECT_LT(largest_error({1, 2, 3, 5, 8, 13, 21, 34, 55, 89}, 3000), 2);
}

// Weights over many orders of magnitude, equal ones, and any number of sources.
TEST(MixtureSchedule, KeepsSharesForOddWeights) {
  std::mt19937_64 random(11);
  std::uniform_real_distribution<double> exponent(-4, 4);
  for (int round = 0; round < 200; ++round) {
    std::vector<double> weights(1 + random() % (round % 2 == 0 ? 3 : 40));
    for (double& weight : weights) weight = std::exp(exponent(random));
    if (round % 5 == 0) std::ranges::fill(weights, weights[0]);
    EXPECT_LT(largest_error(weights, 500), weights.size() <= 3 ? 1 : 2) << "round " << round;
  }
}

TEST(MixtureSchedule, GivesWholeSharesWhenTheyComeOut) {
  const MixtureSchedule schedule(std::vector<double>{0.7, 0.2, 0.1});
  for (std::int64_t tens = 0; tens < 1000; ++tens) {
    ASSERT_THAT(schedule.counts(10 * tens), ElementsAre(7 * tens, 2 * tens, tens));
  }
}

TEST(MixtureSchedule, DependsOnRatiosOfWeightsAlone) {
  const MixtureSchedule small(std::vector<double>{3, 1, 2});
  const double far = std::ldexp(1.0, 1022);  // six of it are no double
  const MixtureSchedule large(std::vector<double>{3 * far, far, 2 * far});
  for (std::int64_t index = 0; index < 600; ++index) {
    ASSERT_EQ(small.at(index).source, large.at(index).source);
    ASSERT_EQ(small.at(index).sample, large.at(index).sample);
  }
}

TEST(MixtureSchedule, LeavesEverythingToASingleSource) {
  const MixtureSchedule schedule(std::vector<double>{0.25});
  for (const std::int64_t index : {std::int64_t{0}, std::int64_t{7}, std::int64_t{1} << 60}) {
    EXPECT_EQ(schedule.at(index).source, 0);
    EXPECT_EQ(schedule.at(index).sample, index);
  }
}

// Far beyond what a double counts exactly.
TEST(MixtureSchedule, IsExactAtTheEndOfALongRun) {
  const std::vector<double> weights = {5, 3, 7, 1};  // sixteenths
  const MixtureSchedule schedule(weights);
  const std::int64_t far = (std::int64_t{1} << 60) + 3;
  const std::vector<std::int64_t> taken = schedule.counts(far);
  EXPECT_EQ(std::accumulate(taken.begin(), taken.end(), std::int64_t{0}), far);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const std::int64_t share = far / 16 * static_cast<std::int64_t>(weights[i]);
    EXPECT_LE(std::abs(taken[i] - share), 3) << i;
  }
  const MixtureSchedule::Place place = schedule.at(far);
  EXPECT_EQ(place.sample, taken[static_cast<std::size_t>(place.source)]);
  std::vector<std::int64_t> next = taken;
  ++next[static_cast<std::size_t>(place.source)];
  EXPECT_EQ(schedule.counts(far + 1), next);
}

TEST(MixtureSchedule, RefusesWeightsThatAreNone) {
  const auto make = [](std::vector<double> weights) { MixtureSchedule schedule(weights); };
  EXPECT_THROW(make({}), InternalError);
  EXPECT_THROW(make({1, 0}), InternalError);
  EXPECT_THROW(make({1, -1}), InternalError);
  EXPECT_THROW(make({1, std::numeric_limits<double>::infinity()}), InternalError);
  EXPECT_THROW(MixtureSchedule(std::vector<double>{1}).at(-1), InternalError);
}

}  // namespace
}  // namespace hetmoe
