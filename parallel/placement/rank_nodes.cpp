#include "parallel/placement/rank_nodes.h"

#include <map>

#include "core/base/check.h"

namespace hetmoe {

RankNodes::RankNodes(const std::vector<int>& node_of_rank) {
  std::map<int, int> number;
  for (const int name : node_of_rank) {
    const int node = number.try_emplace(name, nodes()).first->second;
    if (node == nodes()) ranks_of_.emplace_back();
    place_of_.push_back(static_cast<int>(ranks_of_[node].size()));
    ranks_of_[node].push_back(static_cast<int>(node_of_.size()));
    node_of_.push_back(node);
  }
}

bool RankNodes::has_two_levels() const { return nodes() > 1 && ranks_of_.size() < node_of_.size(); }

bool RankNodes::are_apart(int one, int other) const {
  return !node_of_.empty() && node_of_[one] != node_of_[other];
}

RankNodes nodes_of_neighbours(int ranks_per_node, int first, int ranks) {
  HETMOE_CHECK(ranks_per_node >= 1, ranks_per_node, " ranks per node");
  std::vector<int> node_of_rank;
  for (int rank = first; rank < first + ranks; ++rank) {
    node_of_rank.push_back(rank / ranks_per_node);
  }
  return RankNodes(node_of_rank);
}

}  // namespace hetmoe
