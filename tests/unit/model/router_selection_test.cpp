#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "core/base/error.h"
#include "core/model/router.h"

namespace hetmoe {
namespace {

using testing::ElementsAre;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

at::Tensor logits_of(const std::vector<std::vector<double>>& rows,
                     at::ScalarType type = at::kFloat) {
  std::vector<double> flat;
  for (const auto& row : rows) flat.insert(flat.end(), row.begin(), row.end());
  const auto tokens = static_cast<std::int64_t>(rows.size());
  return at::tensor(flat).view({tokens, -1}).to(type);
}

std::vector<std::int32_t> experts_of(const Routing& routing, std::int64_t token) {
  return {routing.expert.begin() + routing.offset[token],
          routing.expert.begin() + routing.offset[token + 1]};
}

RouterConfig top_k(int k, Renormalize renormalize = Renormalize::kAuto) {
  return {.kind = RouterKind::kTopK, .top_k = k, .renormalize = renormalize};
}

RouterConfig top_p(double p) { return {.kind = RouterKind::kTopP, .top_p = p}; }

TEST(TopK, TakesTheLargestAndTiesGoToTheLowerExpert) {
  const Routing routing =
      route(logits_of({{0, 3, 1, 2}, {5, 5, 5, 5}, {0, 7, 7, 7}, {1, 0, 1, 9}}), top_k(2));
  EXPECT_THAT(experts_of(routing, 0), ElementsAre(1, 3));
  EXPECT_THAT(experts_of(routing, 1), ElementsAre(0, 1));
  EXPECT_THAT(experts_of(routing, 2), ElementsAre(1, 2));
  EXPECT_THAT(experts_of(routing, 3), ElementsAre(0, 3));
}

TEST(TopK, MoreThanThereAreTakesAll) {
  const Routing routing = route(logits_of({{0, 3, 1}}), top_k(7));
  EXPECT_THAT(experts_of(routing, 0), ElementsAre(0, 1, 2));
  EXPECT_NEAR(routing.gate[0] + routing.gate[1] + routing.gate[2], 1.0, 1e-6);
}

TEST(TopK, GateOfOneExpertIsItsProbabilityUnlessRenormalised) {
  // softmax of (ln 6, ln 3, 0) is (6, 3, 1) / 10.
  const at::Tensor logits = logits_of({{std::log(6.0), std::log(3.0), 0}}, at::kDouble);
  EXPECT_NEAR(route(logits, top_k(1)).gate[0], 0.6, 1e-15);
  EXPECT_EQ(route(logits, top_k(1, Renormalize::kTrue)).gate[0], 1.0);
  const Routing two = route(logits, top_k(2));
  EXPECT_NEAR(two.gate[0], 6.0 / 9.0, 1e-15);
  EXPECT_NEAR(two.gate[1], 3.0 / 9.0, 1e-15);
  const Routing plain = route(logits, top_k(2, Renormalize::kFalse));
  EXPECT_NEAR(plain.gate[0], 0.6, 1e-15);
  EXPECT_NEAR(plain.gate[1], 0.3, 1e-15);
}

TEST(TopP, OneDominatingExpertIsAloneAndEvenOnesAreTakenFromTheLowest) {
  const Routing routing = route(logits_of({{0, 0, 20, 0}, {1, 1, 1, 1}}), top_p(0.6));
  EXPECT_THAT(experts_of(routing, 0), ElementsAre(2));
  EXPECT_THAT(experts_of(routing, 1), ElementsAre(0, 1, 2));  // 0.25, 0.5, 0.75
}

TEST(TopP, ReachingPExactlyIsEnough) {
  EXPECT_THAT(experts_of(route(logits_of({{1, 1, 1, 1}}), top_p(0.5)), 0), ElementsAre(0, 1));
}

TEST(TopP, OneTakesAllExperts) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0.0F, 1.0F);
  at::Tensor logits = at::empty({200, 8}, at::TensorOptions(at::kFloat));
  for (std::int64_t i = 0; i < logits.numel(); ++i) {
    logits.mutable_data_ptr<float>()[i] = normal(random);
  }
  EXPECT_EQ(route(logits, top_p(1.0)).selections(), 200 * 8);
}

/// The fewest experts whose probabilities sum to p, over all subsets; the sum of the best such
/// subset; and how near any subset's sum comes to p without being it.
struct BestSubset {
  int size = std::numeric_limits<int>::max();
  double sum = 0;
  double nearest = 1;
};

BestSubset best_subset(const std::vector<double>& probability, double p) {
  BestSubset best;
  for (unsigned subset = 1; subset < 1U << probability.size(); ++subset) {
    double sum = 0;
    for (std::size_t i = 0; i < probability.size(); ++i) {
      if (subset >> i & 1U) sum += probability[i];
    }
    best.nearest = std::min(best.nearest, std::abs(sum - p));
    const int size = std::popcount(subset);
    if (sum < p || size > best.size) continue;
    best.sum = size < best.size ? sum : std::max(best.sum, sum);
    best.size = size;
  }
  return best;
}

TEST(TopP, TakesTheSmallestSetThatReachesPAndOfThoseTheMostProbable) {
  std::mt19937 random(11);
  std::normal_distribution<double> normal(0.0, 1.5);
  int compared = 0;
  for (int instance = 0; instance < 3000; ++instance) {
    std::vector<double> logits(2 + random() % 7);
    for (double& logit : logits) logit = normal(random);
    double total = 0;
    for (const double logit : logits) total += std::exp(logit);
    std::vector<double> probability;
    for (const double logit : logits) probability.push_back(std::exp(logit) / total);
    const double p = 0.05 + 0.9 * static_cast<double>(random() % 1000) / 1000;
    const BestSubset best = best_subset(probability, p);
    if (best.nearest < 1e-5) continue;  // within rounding of fp32
    ++compared;
    const Routing routing = route(logits_of({logits}), top_p(p));
    double sum = 0;
    for (const std::int32_t expert : routing.expert) sum += probability[expert];
    ASSERT_EQ(routing.selections(), best.size) << "instance " << instance;
    ASSERT_NEAR(sum, best.sum, 1e-6) << "instance " << instance;
  }
  EXPECT_GT(compared, 2000);
}

TEST(Routing, RenormalisedGatesSumToOneAndAreInProportionToTheProbabilities) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0.0F, 2.0F);
  at::Tensor logits = at::empty({100, 9}, at::TensorOptions(at::kFloat));
  for (std::int64_t i = 0; i < logits.numel(); ++i) {
    logits.mutable_data_ptr<float>()[i] = normal(random);
  }
  for (const RouterConfig& config : {top_k(2), top_k(5), top_p(0.7)}) {
    const Routing routing = route(logits, config);
    for (std::int64_t t = 0; t < 100; ++t) {
      double sum = 0;
      const std::int64_t first = routing.offset[t];
      const auto p = [&](std::int64_t s) {
        return routing.probabilities[t][routing.expert[s]].item<double>();
      };
      for (std::int64_t s = first; s < routing.offset[t + 1]; ++s) {
        sum += routing.gate[s];
        EXPECT_NEAR(routing.gate[s] * p(first), routing.gate[first] * p(s), 1e-6);
      }
      EXPECT_NEAR(sum, 1.0, 1e-6);
    }
  }
}

TEST(Routing, HugeLogitsDoNotOverflow) {
  const Routing routing = route(logits_of({{3e38, -3e38, 3e38}}), top_k(2));
  EXPECT_EQ(routing.non_finite_tokens, 0);
  EXPECT_THAT(routing.gate, ElementsAre(0.5, 0.5));
}

class NonFiniteLogit : public testing::TestWithParam<std::tuple<double, int>> {};

TEST_P(NonFiniteLogit, GoesToTheFirstExpertsWithGateZeroAndIsCounted) {
  const auto [bad, place] = GetParam();
  std::vector<double> row = {1, 2, 3, 4};
  row[place] = bad;
  for (RouterConfig config : {top_k(2), top_k(2, Renormalize::kFalse), top_p(0.9)}) {
    config.top_k = 2;
    const Routing routing = route(logits_of({{4, 3, 2, 1}, row, {1, 2, 3, 4}}), config);
    EXPECT_EQ(routing.non_finite_tokens, 1);
    EXPECT_THAT(experts_of(routing, 1), ElementsAre(0, 1));
    EXPECT_EQ(routing.gate[routing.offset[1]], 0.0);
    EXPECT_EQ(routing.gate[routing.offset[1] + 1], 0.0);
    EXPECT_EQ(routing.probabilities[1].abs().sum().item<double>(), 0.0);
    for (const std::int32_t expert : routing.expert) {
      EXPECT_GE(expert, 0);
      EXPECT_LT(expert, 4);
    }
    EXPECT_GT(routing.gate[routing.offset[2]], 0.0);
  }
}

INSTANTIATE_TEST_SUITE_P(Router, NonFiniteLogit,
                         testing::Combine(testing::Values(kNan, kInfinity, -kInfinity),
                                          testing::Values(0, 2, 3)));

TEST(ForcedRouting, TakesTheGivenExpertsWithTheGatesOfTheirProbabilities) {
  // softmax of (ln 6, ln 3, 0) is (6, 3, 1) / 10.
  const at::Tensor logits = logits_of(
      {{std::log(6.0), std::log(3.0), 0}, {std::log(6.0), std::log(3.0), 0}}, at::kDouble);
  const std::vector<std::int32_t> forced = {1, 2, 0, 2};
  const Routing routing = route(logits, top_k(2), forced);
  EXPECT_EQ(routing.expert, forced);
  EXPECT_THAT(routing.offset, ElementsAre(0, 2, 4));
  const std::vector<double> gates = {3.0 / 4, 1.0 / 4, 6.0 / 7, 1.0 / 7};
  const std::vector<double> plain = {0.3, 0.1, 0.6, 0.1};
  const Routing unscaled = route(logits, top_k(2, Renormalize::kFalse), forced);
  for (std::size_t s = 0; s < 4; ++s) {
    EXPECT_NEAR(routing.gate[s], gates[s], 1e-15);
    EXPECT_NEAR(unscaled.gate[s], plain[s], 1e-15);
  }
  EXPECT_NEAR(routing.probabilities[0][0].item<double>(), 0.6, 1e-15);
}

TEST(ForcedRouting, KeepsTheRuleForNonFiniteLogitsAndStaysFiniteWhereProbabilitiesVanish) {
  const Routing routing = route(logits_of({{1, kNan, 3}, {0, 0, 3e38}}), top_k(2),
                                std::vector<std::int32_t>{1, 2, 0, 1});
  EXPECT_THAT(routing.expert, ElementsAre(0, 1, 0, 1));
  EXPECT_THAT(routing.gate, ElementsAre(0, 0, 0, 0));
  EXPECT_EQ(routing.non_finite_tokens, 1);
}

TEST(ForcedRouting, MustNameTopKExpertsForEveryToken) {
  const std::vector<std::int32_t> forced = {0, 1, 2};
  EXPECT_THROW(route(logits_of({{1, 2, 3}, {1, 2, 3}}), top_k(2), forced), InternalError);
}

TEST(NonFiniteLogits, InEveryTokenLeaveFiniteStatistics) {
  const Routing routing = route(logits_of({{kNan, kNan}, {kInfinity, 0}}), top_k(1));
  RouterStatistics statistics(1, 2);
  add_statistics(routing, std::vector<double>{0.5, 1.5}, statistics.layer(0));
  EXPECT_EQ(*statistics.layer(0).non_finite, 2);
  for (const double value : statistics.values()) EXPECT_TRUE(std::isfinite(value));
}

TEST(Routing, OfNoTokensIsEmpty) {
  const Routing routing = route(at::empty({0, 4}, at::TensorOptions(at::kFloat)), top_k(2));
  EXPECT_EQ(routing.tokens(), 0);
  EXPECT_EQ(routing.selections(), 0);
}

}  // namespace
}  // namespace hetmoe
