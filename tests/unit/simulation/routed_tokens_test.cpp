#include "parallel/simulation/routed_tokens.h"

#include <gmock/gmock.h>

#include <numeric>

namespace hetmoe {
namespace {

double sum(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

TEST(RoutedTokens, FewTokensAreAllCounted) {
  const RoutingShape shape{.layers = 3, .experts = 5, .top_k = 2, .tokens = 37};
  const Workload workload(WorkloadKind::kW3, 5, 2, 9);
  const auto layers = route_step(workload, shape, 4);
  ASSERT_EQ(layers.size(), 3U);
  for (int layer = 0; layer < 3; ++layer) {
    std::vector<double> counted(5, 0.0);
    std::vector<std::int32_t> set(2);
    for (int token = 0; token < 37; ++token) {
      workload.select(layer, 4, token, set);
      for (const std::int32_t expert : set) counted[expert] += 1;
    }
    for (int expert = 0; expert < 5; ++expert)
      EXPECT_NEAR(layers[layer].selected[expert] * 37, counted[expert], 1e-9);
    EXPECT_NEAR(sum(layers[layer].part), 1, 1e-12);
    EXPECT_EQ(layers[layer].experts.size(), 2 * layers[layer].part.size());
  }
}

TEST(RoutedTokens, ManyTokensHaveTheExpectedLoadWithoutTheNoiseOfASample) {
  const RoutingShape shape{.layers = 2, .experts = 7, .top_k = 3, .tokens = 1 << 20};
  const Workload workload(WorkloadKind::kW1, 7, 3, 2);
  const auto layers = route_step(workload, shape, 1);
  for (int layer = 0; layer < 2; ++layer) {
    const auto shares = workload.expected_shares(layer, 1);
    std::vector<double> in_sets(7, 0.0);
    for (std::size_t set = 0; set < layers[layer].part.size(); ++set)
      for (int i = 0; i < 3; ++i)
        in_sets[layers[layer].experts[3 * set + i]] += layers[layer].part[set];
    for (int expert = 0; expert < 7; ++expert) {
      EXPECT_DOUBLE_EQ(layers[layer].selected[expert], 3 * shares[expert]);
      EXPECT_NEAR(in_sets[expert], 3 * shares[expert], 0.02);
    }
  }
}

TEST(RoutedTokens, LayersThatExpectTheSameShareASample) {
  const RoutingShape shape{.layers = 4, .experts = 8, .top_k = 2, .tokens = 1 << 20};
  const auto layers = route_step(Workload(WorkloadKind::kW0, 8, 2, 1), shape, 1);
  for (int layer = 1; layer < 4; ++layer) EXPECT_EQ(layers[layer], layers[0]);
}

TEST(RoutedTokens, WhatAPlannerSawOfARotatingHotSpotIsTheMeanOfItsPlaces) {
  const RoutingShape shape{.layers = 1, .experts = 4, .top_k = 2, .tokens = 100};
  const Workload workload(WorkloadKind::kW6, 4, 2, 1);
  const auto seen = expected_selections(workload, shape, 17);
  for (int expert = 0; expert < 4; ++expert) {
    double mean = 0;
    for (int step = 1; step <= 17; ++step) mean += workload.expected_shares(0, step)[expert] / 17;
    EXPECT_NEAR(seen[0][expert], 2 * mean, 1e-12);
  }
}

}  // namespace
}  // namespace hetmoe
