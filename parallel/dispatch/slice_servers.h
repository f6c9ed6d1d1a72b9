#pragma once

#include <cstdint>
#include <vector>

#include "core/model/routing.h"
#include "parallel/placement/placement.h"
#include "parallel/placement/rank_nodes.h"

namespace hetmoe {

/// A rank that computes a slice for a part of its tokens: all, unless there are replicas.
struct SliceServer {
  std::int32_t rank = 0;
  std::int32_t slice = 0;  ///< index among the layer's slices on that rank
  double share = 1;
};

/// The servers of one run of rows of an expert, by rank. Replicas are alternatives.
using RangeServers = std::vector<SliceServer>;

/// The servers of every run of rows of every expert of a layer: [experts][runs by begin]. A token
/// goes to one server of each run of each of its experts.
struct LayerServers {
  std::vector<std::vector<RangeServers>> of_expert;
  bool has_replicas = false;
};

/// Neighbours on one rank are one run, as the rank holds them (held_slices.h). Pure.
LayerServers servers_of(const LayerPlacement& placement, int num_ranks);

/// Which replica serves: for every selection of the routing and every run of its expert the index
/// of the server, runs fastest. Each replica gets its share of this rank's tokens, apportioned by
/// largest remainder; among the tokens those come first that go to the replica's rank anyhow, then
/// (where nodes are known) those that go to its node anyhow or are on it, then the others, in
/// order. Pure.
class ReplicaChoice {
 public:
  /// `rank`: that has the tokens.
  ReplicaChoice(const Routing& routing, const LayerServers& servers, const RankNodes& nodes = {},
                int rank = 0);

  /// The server of run `range` for a selection of `expert`.
  const SliceServer& server(std::int64_t selection, std::int32_t expert, std::size_t range) const {
    const RangeServers& servers = servers_.of_expert[expert][range];
    if (servers.size() == 1) return servers[0];
    return servers[chosen_[first_choice_[selection] + range]];
  }

 private:
  /// One after another the selections of `waiting` for which `likes(token, rank)` holds of a server
  /// that has some of `left`; the others stay in `waiting`.
  template <typename Likes>
  void choose(const RangeServers& servers, std::size_t range, Likes likes,
              std::vector<std::int64_t>& left, std::vector<std::int64_t>& waiting);

  const LayerServers& servers_;
  std::vector<std::size_t> first_choice_;  ///< [selections], empty without replicas
  std::vector<std::uint32_t> chosen_;
  std::vector<std::int64_t> token_of_;  ///< [selections], empty without replicas
};

}  // namespace hetmoe
