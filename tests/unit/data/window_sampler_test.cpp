#include "core/data/window_sampler.h"

#include <gmock/gmock.h>

#include <cmath>
#include <set>
#include <string>

#include "core/base/error.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using testing::HasSubstr;

constexpr std::int64_t kLength = 4;

WindowSampler sampler_of(std::int64_t windows, std::int64_t global_batch, std::uint64_t seed = 1) {
  return {seed, windows * kLength + 1, kLength, global_batch};
}

TEST(WindowSampler, UsesEachWindowOncePerEpochForEveryCount) {
  for (std::int64_t windows = 1; windows <= 200; ++windows) {
    const WindowSampler sampler = sampler_of(windows, 1);
    for (const std::int64_t epoch : {0, 1, 7}) {
      std::set<std::int64_t> seen;
      for (std::int64_t i = 0; i < windows; ++i) {
        const std::int64_t begin = sampler.window_begin(epoch * windows + i + 1, 0);
        EXPECT_EQ(begin % kLength, 0);
        EXPECT_LE(begin + kLength + 1, windows * kLength + 1);
        seen.insert(begin);
      }
      ASSERT_EQ(static_cast<std::int64_t>(seen.size()), windows) << "epoch " << epoch;
    }
  }
}

TEST(WindowSampler, CountsWholeWindowsThatShareOneToken) {
  EXPECT_EQ(WindowSampler(1, 9, 4, 1).num_windows(), 2);
  EXPECT_EQ(WindowSampler(1, 8, 4, 1).num_windows(), 1);
  EXPECT_EQ(WindowSampler(1, 5, 4, 1).num_windows(), 1);
}

TEST(WindowSampler, GivesTheSameWindowsHoweverTheyAreCutIntoBatches) {
  const WindowSampler by_one = sampler_of(37, 1);
  const WindowSampler by_five = sampler_of(37, 5);  // 37 is no multiple: batches straddle epochs
  for (std::int64_t sample = 0; sample < 3 * 37; ++sample) {
    EXPECT_EQ(by_one.window_begin(sample + 1, 0), by_five.window_begin(sample / 5 + 1, sample % 5));
  }
}

TEST(WindowSampler, OrdersEpochsAndSeedsDifferently) {
  const auto order = [](std::uint64_t seed, std::int64_t epoch) {
    std::vector<std::int64_t> windows;
    const WindowSampler sampler = sampler_of(50, 1, seed);
    for (std::int64_t i = 0; i < 50; ++i) windows.push_back(sampler.permuted(epoch, i));
    return windows;
  };
  EXPECT_EQ(order(1, 0), order(1, 0));
  EXPECT_NE(order(1, 0), order(1, 1));
  EXPECT_NE(order(1, 0), order(2, 0));
}

TEST(WindowSampler, PutsEachWindowAtEachPlaceEquallyOften) {
  // 5 windows over 5000 epochs: 1000 expected per cell, standard deviation 28.
  const WindowSampler sampler = sampler_of(5, 1);
  std::vector<int> counts(25);
  for (std::int64_t epoch = 0; epoch < 5000; ++epoch) {
    for (std::int64_t i = 0; i < 5; ++i) {
      ++counts[static_cast<std::size_t>(5 * i + sampler.permuted(epoch, i))];
    }
  }
  for (const int count : counts) EXPECT_NEAR(count, 1000, 150);
}

TEST(WindowSampler, LeavesNoTraceOfTheCorpusOrder) {
  constexpr std::int64_t kWindows = 10007;
  const WindowSampler sampler = sampler_of(kWindows, 1);
  double covariance = 0;
  for (std::int64_t i = 0; i < kWindows; ++i) {
    const double centre = (kWindows - 1) / 2.0;
    covariance +=
        (static_cast<double>(i) - centre) * (static_cast<double>(sampler.permuted(0, i)) - centre);
  }
  const double variance = kWindows * (static_cast<double>(kWindows) * kWindows - 1) / 12;
  EXPECT_LT(std::abs(covariance / variance), 0.05);  // five standard deviations
}

TEST(WindowSampler, RefusesACorpusWithoutAWindowAndNumbersBelowOne) {
  EXPECT_THAT(message_of<ConfigError>([] { WindowSampler(1, 256, 256, 8); }),
              HasSubstr("holds 256 tokens, but one window of sequence_length 256 needs 256 + 1"));
  EXPECT_THAT(message_of<ConfigError>([] { WindowSampler(1, 256, 0, 8); }),
              HasSubstr("sequence_length is 0, must be at least 1"));
  EXPECT_THAT(message_of<ConfigError>([] { WindowSampler(1, 256, 4, 0); }),
              HasSubstr("global_batch is 0"));
}

TEST(WindowSampler, RefusesPlacesOutsideTheBatch) {
  const WindowSampler sampler = sampler_of(5, 3);
  EXPECT_THROW(sampler.window_begin(0, 0), InternalError);
  EXPECT_THROW(sampler.window_begin(1, 3), InternalError);
  EXPECT_THROW(sampler.window_begin(1, -1), InternalError);
}

}  // namespace
}  // namespace hetmoe
