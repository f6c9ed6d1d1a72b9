// Statistics of a routing and its gradient.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/kernels/gpu/router.h"
#include "core/kernels/gpu/router_arithmetic.h"
#include "tests/unit/gpu/elements.h"
#include "tests/unit/gpu/routed_on_device.h"

namespace hetmoe::test {
namespace {

using Doubles = std::vector<double>;

gpu::RouteRule top_two() { return {.kind = gpu::SelectionRule::kTopK, .top_k = 2}; }

Doubles widths(std::int64_t experts) {
  Doubles result;
  for (std::int64_t e = 0; e < experts; ++e) result.push_back(0.5 + 0.1 * static_cast<double>(e));
  return result;
}

Doubles expected_statistics(const HostRouting& routing) {
  const auto experts = static_cast<std::size_t>(routing.experts);
  Doubles sums(2 * experts + 3, 1.0);  // what was there before
  for (std::size_t i = 0; i < routing.probability.size(); ++i) {
    const double p = routing.probability[i];
    sums[experts + i % experts] += p;
    if (p > 0) sums[2 * experts] -= p * std::log(p);
  }
  for (std::size_t s = 0; s < routing.expert.size(); ++s) {
    const auto expert = static_cast<std::size_t>(routing.expert[s]);
    sums[expert] += 1;
    sums[2 * experts + 1] += routing.gate[s] * widths(routing.experts)[expert];
  }
  for (const std::int32_t wrong : routing.non_finite) sums[2 * experts + 2] += wrong;
  return sums;
}

void check_statistics(std::int64_t tokens, std::int64_t experts) {
  auto logits = random_elements<float>(static_cast<std::size_t>(tokens * experts), 2);
  logits[0] = std::numeric_limits<float>::infinity();
  RoutedOnDevice routed(tokens, experts);
  routed.select(logits, top_two());
  routed.list(true);
  const DeviceArray<double> relative_width(widths(experts));
  const Doubles got = same_in_any_turns([&] {
    const DeviceArray<double> statistics(Doubles(static_cast<std::size_t>(2 * experts + 3), 1.0));
    const DeviceArray<double> scratch(
        static_cast<std::size_t>(gpu::route_statistics_scratch_doubles(tokens, experts)));
    gpu::route_statistics(routed.get(), relative_width.get(), statistics.get(), scratch.get(),
                          nullptr);
    return statistics.values();
  });
  const Doubles expected = expected_statistics(routed.values());
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_NEAR(got[i], expected[i], 1e-6 * std::abs(expected[i])) << i;
  }
}

TEST(GpuRouter, statistics_are_sums_over_tokens_added_to_what_was_there) {
  check_statistics(1, 5);
  check_statistics(130, 7);   // more than one line of partial sums
  check_statistics(700, 40);  // more lines than are added at once
  check_statistics(3, 300);   // more experts than threads
}

/// Everything that flows back, in one place.
struct Flow {
  std::vector<float> dgate, dmass, released_gate;
  std::vector<double> selected, factor;
  float entropy_factor = 0.3F;
  bool renormalize = true;

  Flow(std::int64_t tokens, std::int64_t experts, std::size_t selections)
      : dgate(random_elements<float>(selections, 1, 21)),
        dmass(random_elements<float>(static_cast<std::size_t>(tokens), 1, 22)),
        released_gate(random_elements<float>(static_cast<std::size_t>(experts), 1, 23)) {
    for (const float value : random_elements<float>(static_cast<std::size_t>(experts), 1, 24)) {
      selected.push_back(value);
      factor.push_back(0.5);
    }
  }
};

std::vector<float> gradient_on_device(const RoutedOnDevice& routed, const Flow& flow) {
  const gpu::RoutedTokens tokens = routed.get();
  const auto experts = static_cast<std::size_t>(tokens.experts);
  const DeviceArray<double> selected(flow.selected), factor(flow.factor);
  const DeviceArray<float> shared(experts), released(flow.released_gate);
  const DeviceArray<float> dgate(flow.dgate), dmass(flow.dmass);
  const DeviceArray<float> dlogits(static_cast<std::size_t>(tokens.tokens) * experts);
  gpu::shared_probability_gradient(selected.get(), factor.get(), shared.get(), tokens.experts,
                                   nullptr);
  gpu::route_backward(tokens,
                      {.dgate = dgate.get(),
                       .dmass = flow.dmass.empty() ? nullptr : dmass.get(),
                       .shared = shared.get(),
                       .released_gate = flow.released_gate.empty() ? nullptr : released.get(),
                       .entropy_factor = flow.entropy_factor,
                       .renormalize = flow.renormalize},
                      dlogits.get(), nullptr);
  return dlogits.values();
}

/// The scalar whose gradient flows back, of one token with these logits; its selection stays.
double objective(const Doubles& logits, const HostRouting& routing, const Flow& flow,
                 std::int64_t token) {
  double sum = 0;
  for (const double logit : logits) sum += std::exp(logit);
  const auto p = [&](std::size_t e) { return std::exp(logits[e]) / sum; };
  double mass = 0;
  for (const std::int32_t e : routing.experts_of(token)) mass += p(static_cast<std::size_t>(e));
  double value = 0;
  const auto begin = static_cast<std::size_t>(routing.offset[static_cast<std::size_t>(token)]);
  const auto chosen = routing.experts_of(token);
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const auto e = static_cast<std::size_t>(chosen[i]);
    const double released = flow.released_gate.empty() ? 0 : flow.released_gate[e];
    value += (flow.dgate[begin + i] + released) * p(e) / (flow.renormalize ? mass : 1);
  }
  if (!flow.dmass.empty()) value += flow.dmass[static_cast<std::size_t>(token)] * mass;
  for (std::size_t e = 0; e < logits.size(); ++e) {
    value += flow.factor[e] * flow.selected[e] * p(e);
    value -= flow.entropy_factor * p(e) * std::log(p(e));
  }
  return value;
}

void check_gradient(std::int64_t tokens, std::int64_t experts, const gpu::RouteRule& rule,
                    auto change) {
  const auto logits = random_elements<float>(static_cast<std::size_t>(tokens * experts), 1);
  RoutedOnDevice routed(tokens, experts);
  routed.select(logits, rule);
  Flow flow(tokens, experts, static_cast<std::size_t>(tokens * experts));
  change(flow);
  routed.list(flow.renormalize);
  const HostRouting routing = routed.values();
  const auto got = same_in_any_turns([&] { return gradient_on_device(routed, flow); });
  const double step = 1e-5;
  for (std::int64_t token = 0; token < tokens; ++token) {
    const auto begin = logits.begin() + token * experts;
    Doubles row(begin, begin + experts);
    for (std::size_t e = 0; e < row.size(); ++e) {
      const double kept = row[e];
      row[e] = kept + step;
      const double above = objective(row, routing, flow, token);
      row[e] = kept - step;
      const double below = objective(row, routing, flow, token);
      row[e] = kept;
      ASSERT_NEAR(got[static_cast<std::size_t>(token * experts) + e], (above - below) / (2 * step),
                  2e-6)
          << token << " " << e;
    }
  }
}

const auto kAll = [](Flow&) {};

TEST(GpuRouter, the_gradient_is_that_of_finite_differences) {
  for (const std::int64_t experts : {1, 7, 32, 45}) {
    check_gradient(5, experts, top_two(), kAll);
    check_gradient(2, experts, {.kind = gpu::SelectionRule::kTopP, .top_p = 0.8F}, kAll);
  }
}

TEST(GpuRouter, gradients_of_more_selections_than_lanes_meet_in_one_projection) {
  check_gradient(2, 70, {.kind = gpu::SelectionRule::kTopP, .top_p = 0.95F}, kAll);
}

TEST(GpuRouter, the_gradient_of_entropy_is_that_of_finite_differences) {
  for (const float p : {0.01F, 0.3F, 0.9F}) {
    const double step = 1e-6;
    const auto entropy = [](double q) { return -q * std::log(q); };
    EXPECT_NEAR(gpu::entropy_term(p), entropy(p), 1e-6);
    EXPECT_NEAR(gpu::entropy_gradient(p, 2), (entropy(p + step) - entropy(p - step)) / step, 1e-5);
  }
  EXPECT_EQ(gpu::entropy_term(0), 0);
  EXPECT_EQ(gpu::entropy_gradient(0, 2), 0);
}

TEST(GpuRouter, each_part_of_the_gradient_may_be_absent) {
  check_gradient(3, 9, top_two(), [](Flow& flow) { flow.renormalize = false; });
  check_gradient(3, 9, top_two(), [](Flow& flow) { flow.dmass.clear(); });
  check_gradient(3, 9, top_two(), [](Flow& flow) { flow.released_gate.clear(); });
  check_gradient(3, 9, top_two(), [](Flow& flow) { flow.entropy_factor = 0; });
}

TEST(GpuRouter, a_token_with_a_non_finite_logit_gets_no_gradient) {
  auto logits = random_elements<float>(2 * 9);
  logits[3] = std::numeric_limits<float>::quiet_NaN();
  RoutedOnDevice routed(2, 9);
  routed.select(logits, top_two());
  routed.list(true);
  const auto got = gradient_on_device(routed, Flow(2, 9, 4));
  for (std::size_t e = 0; e < 9; ++e) {
    EXPECT_EQ(got[e], 0);
    EXPECT_NE(got[9 + e], 0);
  }
}

}  // namespace
}  // namespace hetmoe::test
