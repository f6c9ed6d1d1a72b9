#include "core/model/workload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "core/base/error.h"

namespace hetmoe {
namespace {

using testing::Each;
using testing::ElementsAre;

constexpr WorkloadKind kKinds[] = {WorkloadKind::kW0, WorkloadKind::kW1, WorkloadKind::kW2,
                                   WorkloadKind::kW3, WorkloadKind::kW4, WorkloadKind::kW5,
                                   WorkloadKind::kW6, WorkloadKind::kW7};

/// One choice of sizes; odd ones, one expert, all experts.
struct Shape {
  int experts;
  int top_k;
};
constexpr Shape kShapes[] = {{1, 1},  {2, 1},  {2, 2},  {3, 1},  {3, 2},  {4, 3},   {5, 5},
                             {7, 3},  {8, 1},  {8, 2},  {8, 4},  {13, 2}, {64, 8},  {65, 6},
                             {24, 1}, {17, 9}, {31, 2}, {96, 4}, {9, 8},  {256, 8}, {1024, 3}};

std::vector<std::int32_t> selected(const Workload& workload, int top_k, int layer,
                                   std::int64_t step, std::int64_t token) {
  std::vector<std::int32_t> experts(top_k, -1);
  workload.select(layer, step, token, experts);
  return experts;
}

/// Tokens [first, first + tokens) that selected each expert.
std::vector<std::int64_t> counts(const Workload& workload, Shape shape, int layer,
                                 std::int64_t step, std::int64_t tokens, std::int64_t first = 0) {
  std::vector<std::int64_t> count(shape.experts, 0);
  std::vector<std::int32_t> experts(shape.top_k);
  for (std::int64_t token = first; token < first + tokens; ++token) {
    workload.select(layer, step, token, experts);
    for (const std::int32_t expert : experts) ++count.at(expert);
  }
  return count;
}

std::vector<double> shares(const std::vector<std::int64_t>& count) {
  const auto sum =
      static_cast<double>(std::accumulate(count.begin(), count.end(), std::int64_t{0}));
  std::vector<double> share;
  for (const std::int64_t of_one : count) share.push_back(static_cast<double>(of_one) / sum);
  return share;
}

/// Five standard deviations of a share that is selected by `tokens` independent tokens.
double bound(double share, int top_k, std::int64_t tokens) {
  const double probability = std::clamp(share * top_k, 0.0, 1.0);
  return 5 * std::sqrt(probability * (1 - probability) / static_cast<double>(tokens)) / top_k +
         1e-7;
}

double highest_share(Shape shape) {
  if (shape.experts == 1) return 1.0;
  return shape.top_k == 1 ? 0.5 : 1.0 / shape.top_k;
}

bool is_burst(const Workload& workload, int layer, std::int64_t step) {
  const auto share = workload.expected_shares(layer, step);
  return *std::max_element(share.begin(), share.end()) > 1.01 / static_cast<double>(share.size());
}

TEST(Workload, EveryTokenTakesDifferentExpertsInAscendingOrder) {
  for (const WorkloadKind kind : kKinds) {
    for (const Shape shape : kShapes) {
      const Workload workload(kind, shape.experts, shape.top_k, 3);
      for (std::int64_t step : {0, 1, 10, 11, 12, 13, 14, 15, 16, 17, 1000000}) {
        for (std::int64_t token = 0; token < 60; ++token) {
          const auto experts = selected(workload, shape.top_k, 2, step, token * token * 7919);
          for (std::size_t i = 1; i < experts.size(); ++i) ASSERT_LT(experts[i - 1], experts[i]);
          ASSERT_GE(experts.front(), 0);
          ASSERT_LT(experts.back(), shape.experts) << workload_name(kind);
        }
      }
    }
  }
}

TEST(Workload, IsAFunctionOfItsArgumentsWhateverWasAskedBefore) {
  for (const WorkloadKind kind : kKinds) {
    const Workload asked(kind, 13, 3, 5);
    std::vector<std::vector<std::int32_t>> first;
    for (int i = 0; i < 500; ++i) first.push_back(selected(asked, 3, i % 4, 1 + i % 37, i));
    for (int i = 499; i >= 0; i -= 7) {
      EXPECT_EQ(selected(asked, 3, i % 4, 1 + i % 37, i), first[i]);
      EXPECT_EQ(selected(Workload(kind, 13, 3, 5), 3, i % 4, 1 + i % 37, i), first[i]);
    }
  }
}

TEST(Workload, SeedLayerStepAndTokenEachMatter) {
  for (const WorkloadKind kind : kKinds) {
    const Workload workload(kind, 64, 4, 5);
    const Workload other(kind, 64, 4, 6);
    std::array<int, 4> same = {};
    for (std::int64_t token = 0; token < 200; ++token) {
      const auto here = selected(workload, 4, 1, 3, token);
      same[0] += here == selected(other, 4, 1, 3, token);
      same[1] += here == selected(workload, 4, 2, 3, token);
      same[2] += here == selected(workload, 4, 1, 4, token);
      same[3] += here == selected(workload, 4, 1, 3, token + 1);
    }
    EXPECT_THAT(same, Each(testing::Lt(20))) << workload_name(kind);
  }
}

TEST(Workload, SelectionsFollowTheExpectedShares) {
  constexpr std::int64_t kTokens = 20000;
  for (const WorkloadKind kind : kKinds) {
    for (const Shape shape : {Shape{3, 1}, Shape{8, 1}, Shape{8, 2}, Shape{13, 5}, Shape{64, 4}}) {
      const Workload workload(kind, shape.experts, shape.top_k, 11);
      for (const std::int64_t step : {1, 2, 3, 4, 5, 6, 7, 8}) {
        const auto expected = workload.expected_shares(1, step);
        const auto share = shares(counts(workload, shape, 1, step, kTokens));
        EXPECT_NEAR(std::accumulate(expected.begin(), expected.end(), 0.0), 1.0, 1e-12);
        for (int i = 0; i < shape.experts; ++i) {
          EXPECT_NEAR(share[i], expected[i], bound(expected[i], shape.top_k, kTokens))
              << workload_name(kind) << " expert " << i << " of " << shape.experts;
        }
      }
    }
  }
}

TEST(Workload, NoExpertIsAboveTheCap) {
  for (const WorkloadKind kind : kKinds) {
    for (const Shape shape : kShapes) {
      for (std::uint64_t seed = 0; seed < 20; ++seed) {
        const Workload workload(kind, shape.experts, shape.top_k, seed);
        const auto share = workload.expected_shares(static_cast<int>(seed % 3), 1 + seed);
        EXPECT_LE(*std::max_element(share.begin(), share.end()), highest_share(shape) + 1e-12);
      }
      // What is drawn holds it as well; with top_k above 1 without any room for chance.
      const Workload workload(kind, shape.experts, shape.top_k, 1);
      const auto drawn = shares(counts(workload, shape, 0, 5, 400));
      const double room = shape.top_k == 1 ? bound(highest_share(shape), 1, 400) : 1e-12;
      EXPECT_LE(*std::max_element(drawn.begin(), drawn.end()), highest_share(shape) + room);
    }
  }
}

TEST(W0, IsEvenOverAnyRangeOfTokens) {
  for (const Shape shape : kShapes) {
    const Workload workload(WorkloadKind::kW0, shape.experts, shape.top_k, 4);
    const auto round = shape.experts / std::gcd(shape.experts, shape.top_k);
    const auto whole = counts(workload, shape, 3, 7, 12 * round);
    EXPECT_THAT(whole, Each(12 * round * shape.top_k / shape.experts));
    const auto ragged = counts(workload, shape, 3, 7, 5 * round + round / 2);
    const auto [least, most] = std::minmax_element(ragged.begin(), ragged.end());
    EXPECT_LE(*most - *least, 1);
    // A rank's part begins anywhere: a piece of a round at either end.
    const auto part = counts(workload, shape, 3, 7, 4 * round + 3, 2 * round + round / 3);
    const auto [lowest, highest] = std::minmax_element(part.begin(), part.end());
    EXPECT_LE(*highest - *lowest, 2);
  }
}

TEST(W0, PairsOfExpertsOccurAboutEquallyOften) {
  const Workload workload(WorkloadKind::kW0, 8, 2, 4);
  std::vector<int> pairs(64, 0);
  for (std::int64_t token = 0; token < 28000; ++token) {
    const auto experts = selected(workload, 2, 0, 1, token);
    ++pairs[experts[0] * 8 + experts[1]];
  }
  for (int a = 0; a < 8; ++a) {
    for (int b = a + 1; b < 8; ++b) EXPECT_NEAR(pairs[a * 8 + b], 1000, 250) << a << ' ' << b;
  }
}

TEST(W1, OneExpertInEightIsHotAndTogetherTheyTakeHalf) {
  for (const Shape shape : {Shape{3, 1}, Shape{8, 2}, Shape{16, 2}, Shape{64, 8}, Shape{20, 1}}) {
    std::set<std::vector<int>> of_layers;
    for (int layer = 0; layer < 20; ++layer) {
      const Workload workload(WorkloadKind::kW1, shape.experts, shape.top_k, 8);
      const auto share = workload.expected_shares(layer, 1);
      std::vector<int> hot;
      double together = 0;
      for (int i = 0; i < shape.experts; ++i) {
        if (share[i] < 1.2 / shape.experts) continue;
        hot.push_back(i);
        together += share[i];
      }
      EXPECT_EQ(hot.size(), std::max<std::size_t>(1, std::lround(shape.experts / 8.0)));
      EXPECT_NEAR(together, 0.5, 1e-9);
      of_layers.insert(hot);
    }
    EXPECT_GT(of_layers.size(), 2U);  // layers differ
  }
}

TEST(W1, HotExpertsThatTopKCannotGiveHalfGetWhatItCan) {
  const auto share = Workload(WorkloadKind::kW1, 8, 4, 8).expected_shares(0, 1);
  EXPECT_NEAR(*std::max_element(share.begin(), share.end()), 0.25, 1e-12);
}

TEST(W2, TheLastQuarterIsHotInEveryLayer) {
  for (const int experts : {3, 8, 13, 64}) {
    const Workload workload(WorkloadKind::kW2, experts, 2, 8);
    for (const int layer : {0, 5}) {
      const auto share = shares(counts(workload, {experts, 2}, layer, 4, 20000));
      const int hot = std::max(1, experts / 4);
      EXPECT_NEAR(std::accumulate(share.end() - hot, share.end(), 0.0), 0.5, 0.01);
      EXPECT_GT(*std::min_element(share.end() - hot, share.end()),
                1.3 * *std::max_element(share.begin(), share.end() - hot));
    }
  }
}

TEST(W3, LogarithmsOfSharesHaveTheDeviationOfTheDistribution) {
  double sum = 0;
  double squares = 0;
  double count = 0;
  const Workload workload(WorkloadKind::kW3, 256, 2, 8);
  for (int layer = 0; layer < 40; ++layer) {
    const auto share = workload.expected_shares(layer, 1);
    double mean = 0;
    for (const double one : share) mean += std::log(one) / 256;
    for (const double one : share) {
      sum += std::log(one) - mean;
      squares += (std::log(one) - mean) * (std::log(one) - mean);
    }
    count += 256;
  }
  EXPECT_NEAR(std::sqrt(squares / count), 0.7, 0.02);
  EXPECT_NEAR(sum, 0, 1e-6);
}

TEST(W4, HasThePopularityOfW3) {
  EXPECT_EQ(Workload(WorkloadKind::kW4, 13, 2, 8).expected_shares(3, 1),
            Workload(WorkloadKind::kW3, 13, 2, 8).expected_shares(3, 1));
}

TEST(W5, HalfOfTheExpertsGetNothing) {
  for (const Shape shape : kShapes) {
    const Workload workload(WorkloadKind::kW5, shape.experts, shape.top_k, 21);
    const auto count = counts(workload, shape, 4, 9, 3000);
    const auto dead = std::count(count.begin(), count.end(), 0);
    const int needed = std::min(shape.experts, std::max(2, shape.top_k));
    EXPECT_EQ(dead, std::min(shape.experts / 2, shape.experts - needed)) << shape.experts;
    EXPECT_EQ(counts(workload, shape, 4, 3, 3000).size(), count.size());
  }
}

TEST(W6, TheHotSpotMovesToTheNextExpertEveryTenSteps) {
  const Workload workload(WorkloadKind::kW6, 7, 2, 21);
  const auto hottest = [&](int layer, std::int64_t step) {
    const auto count = counts(workload, {7, 2}, layer, step, 2000);
    EXPECT_GT(*std::max_element(count.begin(), count.end()), 1200);
    return std::max_element(count.begin(), count.end()) - count.begin();
  };
  const auto start = hottest(0, 1);
  for (std::int64_t step = 1; step <= 160; step += 3) {
    EXPECT_EQ(hottest(static_cast<int>(step % 3), step), (start + (step - 1) / 10) % 7) << step;
  }
}

TEST(W7, OneStepInEightIsABurstAndTheOthersAreEven) {
  const Workload workload(WorkloadKind::kW7, 16, 2, 21);
  int bursts = 0;
  std::set<std::int64_t> hot;
  for (std::int64_t step = 1; step <= 8000; ++step) bursts += is_burst(workload, 0, step);
  EXPECT_NEAR(bursts, 1000, 5 * std::sqrt(8000.0 / 8 * 7 / 8));
  for (std::int64_t step = 1; step <= 100; ++step) {
    const auto count = counts(workload, {16, 2}, 0, step, 800);
    const auto most = std::max_element(count.begin(), count.end());
    if (is_burst(workload, 0, step)) {
      EXPECT_GT(*most, 700);
      hot.insert(most - count.begin());
      EXPECT_TRUE(is_burst(workload, 5, step));  // in all layers at once
    } else {
      EXPECT_THAT(count, Each(100));
    }
  }
  EXPECT_GT(hot.size(), 3U);
}

TEST(Workload, NamesGoThereAndBackAndOthersAreRefused) {
  for (const WorkloadKind kind : kKinds) EXPECT_EQ(workload_of(workload_name(kind)), kind);
  for (const char* name : {"", "W8", "w3", "none", "W33"}) {
    EXPECT_THROW(workload_of(name), ConfigError) << name;
  }
}

TEST(SourceWeights, OnlyW4AndW5AreUneven) {
  EXPECT_THAT(source_weights(WorkloadKind::kW4, 5), ElementsAre(1, 3, 1, 3, 1));
  EXPECT_THAT(source_weights(WorkloadKind::kW5, 5), ElementsAre(1, 0, 1, 0, 1));
  EXPECT_THAT(source_weights(WorkloadKind::kW5, 1), ElementsAre(1));
  EXPECT_THAT(source_weights(WorkloadKind::kW3, 3), ElementsAre(1, 1, 1));
}

}  // namespace
}  // namespace hetmoe
