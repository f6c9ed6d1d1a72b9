#include "parallel/simulation/simulated_world.h"

#include <algorithm>

namespace hetmoe {

double SimulatedWorld::microbatch_tokens() const {
  double sum = 0;
  for (int rank = 0; rank < ranks(); ++rank) sum += tokens(rank);
  return sum;
}

int peers_on_node(const SimulatedWorld& world, int rank, int first, int end, int stride) {
  const int node_begin = world.node_of(rank) * world.ranks_per_node;
  const int node_end = std::min(node_begin + world.ranks_per_node, end);
  const auto below = [&](int limit) {
    return limit <= first ? 0 : (limit - first + stride - 1) / stride;
  };
  return below(node_end) - below(node_begin) - 1;
}

}  // namespace hetmoe
