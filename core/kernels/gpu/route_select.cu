#include <kernel_language.h>

#include "core/kernels/gpu/packs.h"
#include "core/kernels/gpu/reductions.h"
#include "core/kernels/gpu/router.h"
#include "core/kernels/gpu/router_arithmetic.h"
#include "core/kernels/gpu/token_warps.h"

namespace hetmoe::gpu {
namespace {

/// The experts of one lane that are taken: bit j for expert lane + 32 j.
using Taken = std::uint64_t;
static_assert(kMostExperts <= 64 * kWarp);

/// Softmax of one row into p; false on every lane if a logit is not finite, and p zero then. Each
/// lane reads back only what it has written.
__device__ bool softmax(const float* logits, float* p, unsigned experts, unsigned lane) {
  float largest = -FLT_MAX;
  int is_wrong = 0;
  for (unsigned e = lane; e < experts; e += kWarp) {
    if (!is_finite(logits[e])) is_wrong = 1;
    largest = fmaxf(largest, logits[e]);
  }
  const bool finite = __ballot_sync(kWholeWarp, is_wrong) == 0;
  largest = warp_max(largest);
  float sum = 0;
  for (unsigned e = lane; e < experts; e += kWarp) {
    p[e] = finite ? expf(logits[e] - largest) : 0.0F;
    sum += p[e];
  }
  sum = finite ? warp_sum(sum) : 1.0F;
  for (unsigned e = lane; e < experts; e += kWarp) p[e] /= sum;
  return finite;
}

__device__ void take(Taken& taken, unsigned expert, unsigned lane) {
  if (expert % kWarp == lane) taken |= Taken{1} << (expert / kWarp);
}

/// The best of the lane's experts that are left.
__device__ std::uint64_t best_left(const float* p, unsigned experts, unsigned lane, Taken taken) {
  std::uint64_t best = 0;
  for (unsigned e = lane; e < experts; e += kWarp) {
    const std::uint64_t other = candidate(p[e], e);
    if ((taken >> (e / kWarp) & 1) == 0 && other > best) best = other;
  }
  return best;
}

/// Experts in descending order of P until the rule is content.
__device__ Taken most_probable(const float* p, unsigned experts, const RouteRule& rule,
                               unsigned lane) {
  const bool by_mass = rule.kind == SelectionRule::kTopP;
  const unsigned most =
      by_mass || static_cast<unsigned>(rule.top_k) > experts ? experts : rule.top_k;
  Taken taken = 0;
  std::uint64_t mine = best_left(p, experts, lane, taken);
  float sum = 0;
  for (unsigned count = 0; count < most; ++count) {
    const std::uint64_t best = warp_max(mine);
    sum += probability_of(best);
    if (best == mine) {
      take(taken, expert_of(best), lane);
      mine = best_left(p, experts, lane, taken);
    }
    if (by_mass && sum >= rule.top_p) break;
  }
  return taken;
}

/// Writes the mask of one token; its number of experts.
__device__ int write_mask(std::uint32_t* mask, unsigned words, Taken taken, unsigned lane) {
  int count = 0;
  for (unsigned word = 0; word < words; ++word) {
    const unsigned bits = __ballot_sync(kWholeWarp, static_cast<int>(taken >> word & 1));
    if (lane == word % kWarp) mask[word] = bits;
    count += __popc(bits);
  }
  return count;
}

__global__ void __launch_bounds__(kTokensPerBlock* kWarp)
    select_kernel(const float* logits, RouteRule rule, RoutedTokens routed) {
  const std::int64_t token = token_of_warp();
  if (token >= routed.tokens) return;
  const unsigned lane = lane_of_warp();
  const auto experts = static_cast<unsigned>(routed.experts);
  const unsigned words = words_of(experts);
  float* p = routed.probability + token * experts;
  const bool finite = softmax(logits + token * experts, p, experts, lane);
  Taken taken = 0;
  if (finite && rule.forced == nullptr) {
    taken = most_probable(p, experts, rule, lane);
  } else {
    for (std::int32_t i = 0; i < rule.top_k; ++i) {
      const std::int32_t expert = finite ? rule.forced[token * rule.top_k + i] : i;
      if (expert < static_cast<std::int32_t>(experts)) {
        take(taken, static_cast<unsigned>(expert), lane);
      }
    }
  }
  const int count = write_mask(routed.mask + token * words, words, taken, lane);
  if (lane != 0) return;
  routed.count[token] = count;
  routed.non_finite[token] = finite ? 0 : 1;
}

/// Sum of P over the selected experts, in ascending order of expert, on every lane.
__device__ float selected_sum(const float* p, const std::uint32_t* mask, unsigned words) {
  float sum = 0;
  for (unsigned word = 0; word < words; ++word) {
    for (unsigned bits = mask[word]; bits != 0; bits &= bits - 1) {
      sum += p[word * kWarp + __ffs(static_cast<int>(bits)) - 1];
    }
  }
  return sum;
}

__global__ void __launch_bounds__(kTokensPerBlock* kWarp)
    list_kernel(RoutedTokens routed, bool renormalize) {
  const std::int64_t token = token_of_warp();
  if (token >= routed.tokens) return;
  const unsigned lane = lane_of_warp();
  const unsigned words = words_of(routed.experts);
  const float* p = routed.probability + token * routed.experts;
  const std::uint32_t* mask = routed.mask + token * words;
  const float divisor =
      renormalize ? gate_divisor(selected_sum(p, mask, words), renormalize) : 1.0F;
  std::int32_t place = routed.offset[token];
  for (unsigned word = 0; word < words; ++word) {
    const unsigned bits = mask[word];
    if ((bits >> lane & 1) != 0) {
      const std::int32_t at = place + __popc(bits & lanes_before(lane));
      const unsigned expert = word * kWarp + lane;
      routed.expert[at] = static_cast<std::int32_t>(expert);
      routed.gate[at] = p[expert] / divisor;
    }
    place += __popc(bits);
  }
}

}  // namespace

void route_select(const float* logits, const RouteRule& rule, const RoutedTokens& routed,
                  Stream stream) {
  if (routed.tokens == 0) return;
  launch("route_select", grid_of_tokens(routed.tokens), stream, &select_kernel, logits, rule,
         routed);
}

void route_list(const RoutedTokens& routed, bool renormalize, Stream stream) {
  if (routed.tokens == 0) return;
  launch("route_list", grid_of_tokens(routed.tokens), stream, &list_kernel, routed, renormalize);
}

}  // namespace hetmoe::gpu
