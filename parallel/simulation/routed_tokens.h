#pragma once

#include <cstdint>
#include <vector>

#include "core/model/workload.h"

namespace hetmoe {

/// How the tokens of one step are routed in one layer, in parts of a token.
struct RoutedTokens {
  int top_k = 0;
  std::vector<double> selected;       ///< [experts]: selections per token; sums to top_k
  std::vector<std::int32_t> experts;  ///< [sets, top_k]: experts that a token takes together
  std::vector<double> part;           ///< [sets]: part of the tokens that takes them; sums to 1

  friend bool operator==(const RoutedTokens&, const RoutedTokens&) = default;
};

/// What is asked of a workload.
struct RoutingShape {
  int layers = 0;
  int experts = 0;
  int top_k = 0;
  std::int64_t tokens = 0;  ///< of one step, all ranks; at least 1
};

/// Tokens of a layer and step that are looked at when there are more.
inline constexpr std::int64_t kSampledTokens = 16384;

/// The routing of every layer at a step. Up to kSampledTokens tokens are all counted, chance
/// included. Of more tokens `selected` are the expected values and the sets come from the first
/// kSampledTokens, so that a sample's noise is not taken for imbalance; layers that expect the same
/// then share one sample. `step` counts from 1.
std::vector<RoutedTokens> route_step(const Workload& workload, const RoutingShape& shape,
                                     std::int64_t step);

/// Expected selections per token of every layer, [layers][experts], averaged over the steps
/// 1..last_step: what a planner has seen by then.
std::vector<std::vector<double>> expected_selections(const Workload& workload,
                                                     const RoutingShape& shape,
                                                     std::int64_t last_step);

}  // namespace hetmoe
