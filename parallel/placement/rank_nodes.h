#pragma once

#include <vector>

namespace hetmoe {

/// Which ranks of an expert group share a node.
class RankNodes {
 public:
  /// Not known.
  RankNodes() = default;
  /// The node of every rank of the group, by any numbers.
  explicit RankNodes(const std::vector<int>& node_of_rank);

  /// Whether rows may take two hops: several nodes, one of them with several ranks.
  bool has_two_levels() const;
  /// False where nodes are not known.
  bool are_apart(int one, int other) const;

  // Where nodes are known; numbered from 0 in the order of their first ranks.
  int ranks() const { return static_cast<int>(node_of_.size()); }
  int nodes() const { return static_cast<int>(ranks_of_.size()); }
  int node_of(int rank) const { return node_of_[rank]; }
  const std::vector<int>& ranks_of(int node) const { return ranks_of_[node]; }
  /// Other ranks on its node, and on others.
  int near_peers(int rank) const { return static_cast<int>(ranks_of_[node_of_[rank]].size()) - 1; }
  int far_peers(int rank) const { return ranks() - 1 - near_peers(rank); }
  /// The rank's number among the ranks of its node.
  int place_of(int rank) const { return place_of_[rank]; }
  /// The rank of another node that hands on there what `rank` sends: the one with the same place,
  /// counted round where that node is smaller. What comes back takes the same way.
  int relay(int rank, int node) const {
    const std::vector<int>& there = ranks_of_[node];
    return there[static_cast<std::size_t>(place_of_[rank]) % there.size()];
  }

 private:
  std::vector<int> node_of_;
  std::vector<int> place_of_;
  std::vector<std::vector<int>> ranks_of_;
};

/// Ranks first, first + 1, ... of the world, `ranks_per_node` (1 or more) neighbours on each node.
RankNodes nodes_of_neighbours(int ranks_per_node, int first, int ranks);

}  // namespace hetmoe
