#include "core/kernels/gpu/router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "core/kernels/gpu/router_arithmetic.h"
#include "tests/unit/gpu/elements.h"
#include "tests/unit/gpu/routed_on_device.h"

namespace hetmoe::test {
namespace {

using Experts = std::vector<std::int32_t>;
using gpu::RouteRule;
using gpu::SelectionRule;

RouteRule top_k(int k) { return {.kind = SelectionRule::kTopK, .top_k = k}; }
RouteRule top_p(float p) { return {.kind = SelectionRule::kTopP, .top_k = 2, .top_p = p}; }

/// What the rule takes of these probabilities, by sorting them all.
Experts expected_experts(const std::vector<float>& p, const RouteRule& rule) {
  Experts order(p.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return p[static_cast<std::size_t>(a)] > p[static_cast<std::size_t>(b)];
  });
  std::size_t count = std::min(order.size(), static_cast<std::size_t>(rule.top_k));
  if (rule.kind == SelectionRule::kTopP) {
    float sum = 0;
    count = 0;
    while (count < order.size() && (count == 0 || sum < rule.top_p)) {
      sum += p[static_cast<std::size_t>(order[count++])];
    }
  }
  order.resize(count);
  std::sort(order.begin(), order.end());
  return order;
}

void expect_softmax(const HostRouting& routing, const std::vector<float>& logits,
                    std::int64_t token) {
  const float* row = logits.data() + token * routing.experts;
  const double largest = *std::max_element(row, row + routing.experts);
  double sum = 0;
  for (std::int64_t e = 0; e < routing.experts; ++e) sum += std::exp(row[e] - largest);
  for (std::int64_t e = 0; e < routing.experts; ++e) {
    const double expected = std::exp(row[e] - largest) / sum;
    ASSERT_NEAR(routing.p(token, e), expected, 1e-6 * expected) << token << " " << e;
  }
}

void expect_gates(const HostRouting& routing, std::int64_t token, bool renormalize) {
  const Experts experts = routing.experts_of(token);
  double sum = 0;
  for (const std::int32_t e : experts) sum += routing.p(token, e);
  const auto begin = static_cast<std::size_t>(routing.offset[static_cast<std::size_t>(token)]);
  for (std::size_t i = 0; i < experts.size(); ++i) {
    const double expected = routing.p(token, experts[i]) / (renormalize ? sum : 1);
    ASSERT_NEAR(routing.gate[begin + i], expected, 1e-6 * expected);
  }
}

void expect_mask(const HostRouting& routing, std::int64_t token) {
  const Experts experts = routing.experts_of(token);
  for (std::int64_t e = 0; e < 32 * gpu::mask_words(routing.experts); ++e) {
    const std::uint32_t word =
        routing.mask[static_cast<std::size_t>(token * gpu::mask_words(routing.experts) + e / 32)];
    ASSERT_EQ(word >> (e % 32) & 1, std::count(experts.begin(), experts.end(), e)) << e;
  }
}

void check(std::int64_t tokens, std::int64_t experts, const RouteRule& rule, bool renormalize) {
  auto logits = random_elements<float>(static_cast<std::size_t>(tokens * experts), 2);
  // Few distinct values in every other row: many experts are equally probable.
  for (std::int64_t i = 0; i < tokens * experts; ++i) {
    float& logit = logits[static_cast<std::size_t>(i)];
    if (i / experts % 2 == 0) logit = std::round(logit);
  }
  same_in_any_turns([&] { return route_on_device(logits, tokens, rule, renormalize).mask; });
  same_in_any_turns([&] { return route_on_device(logits, tokens, rule, renormalize).probability; });
  same_in_any_turns([&] { return route_on_device(logits, tokens, rule, renormalize).gate; });
  const HostRouting routing = route_on_device(logits, tokens, rule, renormalize);
  for (std::int64_t token = 0; token < tokens; ++token) {
    expect_softmax(routing, logits, token);
    const auto begin = routing.probability.begin() + token * experts;
    EXPECT_EQ(routing.experts_of(token), expected_experts({begin, begin + experts}, rule));
    expect_mask(routing, token);
    expect_gates(routing, token, renormalize);
    EXPECT_EQ(routing.non_finite[static_cast<std::size_t>(token)], 0);
  }
}

TEST(GpuRouter, top_k_takes_the_most_probable_and_of_equals_the_lower) {
  for (const std::int64_t experts : {1, 5, 32, 33, 100}) {
    for (const int k : {1, 2, 8}) check(6, experts, top_k(k), k > 1);
  }
  check(1, 2048, top_k(8), true);
  check(2, 2047, top_k(3), false);
}

TEST(GpuRouter, top_p_takes_as_few_as_reach_it) {
  for (const std::int64_t experts : {1, 5, 33, 100}) {
    for (const float p : {0.05F, 0.6F, 1.0F, 2.0F}) check(5, experts, top_p(p), true);
  }
  check(1, 2048, top_p(0.7F), false);
}

TEST(GpuRouter, the_sum_that_reaches_p_is_added_in_fp32) {
  // 0.1 + 0.1 + ... ten times is 1.0000001 in fp32, and 0.8000001 after eight.
  const std::vector<float> logits(10, 3);
  EXPECT_EQ(route_on_device(logits, 1, top_p(0.8F), true).count[0], 8);
  EXPECT_EQ(route_on_device(logits, 1, top_p(0.8000001F), true).count[0], 8);
  EXPECT_EQ(route_on_device(logits, 1, top_p(1), true).count[0], 10);
}

TEST(GpuRouter, a_token_with_a_non_finite_logit_goes_to_the_first_experts_with_gate_zero) {
  const std::int64_t experts = 40;
  auto logits = random_elements<float>(3 * experts);
  logits[7] = std::numeric_limits<float>::quiet_NaN();
  logits[39] = 50;
  logits[2 * experts + 35] = -std::numeric_limits<float>::infinity();
  const DeviceArray<std::int32_t> forced(Experts{9, 33, 1, 38, 5, 6});
  RouteRule forcing = top_k(2);
  forcing.forced = forced.get();
  for (const RouteRule& rule : {top_k(2), top_p(0.5F), forcing}) {
    const HostRouting routing = route_on_device(logits, 3, rule, true);
    EXPECT_THAT(routing.non_finite, testing::ElementsAre(1, 0, 1));
    for (const std::int64_t token : {0, 2}) {
      EXPECT_THAT(routing.experts_of(token), testing::ElementsAre(0, 1));
      for (std::int64_t e = 0; e < experts; ++e) EXPECT_EQ(routing.p(token, e), 0);
    }
    EXPECT_EQ(routing.gate[0], 0);
    EXPECT_EQ(routing.gate.back(), 0);
    expect_softmax(routing, logits, 1);
  }
  EXPECT_THAT(route_on_device({std::numeric_limits<float>::infinity()}, 1, top_k(4), true).expert,
              testing::ElementsAre(0))
      << "no more experts than there are";
}

TEST(GpuRouter, forced_experts_stand_in_for_the_most_probable) {
  const auto logits = random_elements<float>(2 * 40);
  const DeviceArray<std::int32_t> forced(Experts{9, 33, 38, 39});
  RouteRule rule = top_k(2);
  rule.forced = forced.get();
  const HostRouting routing = route_on_device(logits, 2, rule, true);
  EXPECT_THAT(routing.expert, testing::ElementsAre(9, 33, 38, 39));
  expect_gates(routing, 0, true);
  expect_softmax(routing, logits, 1);
}

TEST(GpuRouter, gates_are_zero_where_probability_vanishes_on_all_that_are_forced) {
  const DeviceArray<std::int32_t> forced(Experts{1, 2});
  RouteRule rule = top_k(2);
  rule.forced = forced.get();
  EXPECT_THAT(route_on_device({500, 0, 1}, 1, rule, true).gate, testing::ElementsAre(0, 0));
}

TEST(GpuRouter, candidates_are_ordered_by_probability_then_by_lower_expert) {
  EXPECT_GT(gpu::candidate(0.5F, 9), gpu::candidate(0.25F, 1));
  EXPECT_GT(gpu::candidate(0.5F, 1), gpu::candidate(0.5F, 9));
  EXPECT_GT(gpu::candidate(0.0F, 2047), 0U);
  EXPECT_EQ(gpu::expert_of(gpu::candidate(0.3F, 77)), 77U);
  EXPECT_EQ(gpu::probability_of(gpu::candidate(0.3F, 77)), 0.3F);
}

TEST(GpuRouter, no_tokens_launch_nothing) {
  const std::uint64_t before = launches_so_far();
  const gpu::RoutedTokens none{.tokens = 0, .experts = 8};
  gpu::route_select(nullptr, top_k(2), none, nullptr);
  gpu::route_list(none, true, nullptr);
  gpu::route_statistics(none, nullptr, nullptr, nullptr, nullptr);
  gpu::route_backward(none, {}, nullptr, nullptr);
  EXPECT_EQ(launches_so_far(), before);
}

}  // namespace
}  // namespace hetmoe::test
