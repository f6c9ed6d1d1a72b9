#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "parallel/simulation/routed_tokens.h"
#include "parallel/simulation/simulated_world.h"

namespace hetmoe {

/// One layer of hidden size 64, experts of 8 and 24 hidden units, one of them per token, fp32,
/// 4 tokens in a sequence. 13,888 dense parameters and 6,144 of experts.
inline SimulatedWorld small_world(std::vector<std::int64_t> sequences) {
  SimulatedWorld world;
  world.model.vocab_size = 10;
  world.model.hidden_size = 64;
  world.model.num_layers = 1;
  world.model.num_heads = 2;
  world.model.num_kv_heads = 1;
  world.model.experts.count = 2;
  world.model.experts.widths = {8, 24};
  world.model.router.top_k = 1;
  world.sequence_length = 4;
  world.sequences = std::move(sequences);
  world.expert_group_size = world.ranks();
  world.ranks_per_node = 2;
  return world;
}

/// A quarter of the tokens takes expert 0, the others expert 1.
inline std::vector<std::vector<RoutedTokens>> quarter_to_the_first() {
  return {{{.top_k = 1, .selected = {0.25, 0.75}, .experts = {0, 1}, .part = {0.25, 0.75}}}};
}

}  // namespace hetmoe
