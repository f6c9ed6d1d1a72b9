#pragma once

#include <cstdint>

#include "core/gpu/launch.h"

namespace hetmoe::gpu {

/// Routing of tokens to experts as core/model/router.h defines it, for 1 to 2048 experts, in fp32.
/// All pointers are the device's.

constexpr std::int64_t kMostExperts = 2048;

/// Words of 32 experts.
constexpr std::int64_t mask_words(std::int64_t experts) { return (experts + 31) / 32; }

/// What was decided for the tokens. route_select writes the first four arrays, the caller makes
/// `offset` of `count` (exclusive_sum.h), route_list writes the last two.
struct RoutedTokens {
  std::int64_t tokens = 0;
  std::int64_t experts = 0;
  float* probability = nullptr;        ///< [tokens, experts], softmax over all experts
  std::uint32_t* mask = nullptr;       ///< [tokens, mask_words]: bit e % 32 of word e / 32
  std::int32_t* count = nullptr;       ///< [tokens] selections
  std::int32_t* non_finite = nullptr;  ///< [tokens] 1 where a logit was not finite, else 0
  std::int32_t* offset = nullptr;      ///< [tokens + 1]
  std::int32_t* expert = nullptr;      ///< [selections], ascending per token
  float* gate = nullptr;               ///< [selections]
};

enum class SelectionRule { kTopK, kTopP };

struct RouteRule {
  SelectionRule kind = SelectionRule::kTopK;
  std::int32_t top_k = 1;                ///< also of tokens with a non-finite logit
  float top_p = 1.0F;                    ///< of kTopP
  const std::int32_t* forced = nullptr;  ///< [tokens, top_k] distinct experts, or null
};

/// Top-K takes the top_k most probable experts, Top-P as few as reach top_p when their P are added
/// in descending order, or all; ties go to the lower expert. Forced experts stand in for either. A
/// token with a non-finite logit gets experts 0 to top_k - 1 and probability 0.
/// Shape: logits [tokens, experts]. Cost: one pass per selection over 1/32 of a row.
void route_select(const float* logits, const RouteRule& rule, const RoutedTokens& routed,
                  Stream stream);

/// Gates are P, divided by its sum over the selected experts if `renormalize` and the sum is not 0.
void route_list(const RoutedTokens& routed, bool renormalize, Stream stream);

/// Doubles of `scratch` below.
std::int64_t route_statistics_scratch_doubles(std::int64_t tokens, std::int64_t experts);

/// Adds to statistics [2 * experts + 3], laid out as one layer of core/model/router_statistics.h:
/// selections and sum of P per expert, entropy, gates times relative_width [experts], non-finite
/// tokens. In an order that depends on nothing.
void route_statistics(const RoutedTokens& routed, const double* relative_width, double* statistics,
                      double* scratch, Stream stream);

/// shared[i] = factor[i] * global_selected[i]: the gradient of P_i that all tokens share.
void shared_probability_gradient(const double* global_selected, const double* factor, float* shared,
                                 std::int64_t experts, Stream stream);

/// What flows back into a routing.
struct RoutingGradient {
  const float* dgate = nullptr;          ///< [selections]
  const float* dmass = nullptr;          ///< [tokens] of the sum of P over the selected, or null
  const float* shared = nullptr;         ///< [experts] of P_i for every token, or null
  const float* released_gate = nullptr;  ///< [experts] added to dgate by expert, or null
  float entropy_factor = 0.0F;           ///< of each token's entropy
  bool renormalize = false;              ///< as in route_list
};

/// Gradient of the logits, [tokens, experts].
void route_backward(const RoutedTokens& routed, const RoutingGradient& gradient, float* dlogits,
                    Stream stream);

}  // namespace hetmoe::gpu
