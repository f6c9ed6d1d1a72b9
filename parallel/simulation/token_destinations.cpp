#include "parallel/simulation/token_destinations.h"

#include <cstddef>
#include <cstdint>

#include "core/base/check.h"

namespace hetmoe {
namespace {

/// Ranks that hold slices of each expert, without repeats.
std::vector<std::vector<int>> ranks_of_experts(const LayerPlacement& placement, std::size_t experts,
                                               int ranks) {
  std::vector<std::vector<int>> holders(experts);
  std::vector<int> last_expert(static_cast<std::size_t>(ranks), -1);
  for (const PlacedSlice& slice : placement.slices) {  // sorted by expert
    HETMOE_CHECK(slice.share == 1.0, "expert ", slice.expert, ": share ", slice.share);
    if (last_expert[slice.rank] == slice.expert) continue;
    last_expert[slice.rank] = slice.expert;
    holders[slice.expert].push_back(slice.rank);
  }
  return holders;
}

}  // namespace

TokenDestinations destinations_of(const RoutedTokens& routed, const LayerPlacement& placement,
                                  const RankNodes& nodes) {
  const auto holders = ranks_of_experts(placement, routed.selected.size(), nodes.ranks());
  const auto count = static_cast<std::size_t>(nodes.ranks());
  const auto node_count = static_cast<std::size_t>(nodes.nodes());
  TokenDestinations sent{.rows = std::vector<double>(count),
                         .selections = std::vector<double>(count),
                         .node_rows = std::vector<double>(node_count)};
  for (std::size_t expert = 0; expert < holders.size(); ++expert) {
    for (const int rank : holders[expert]) sent.selections[rank] += routed.selected[expert];
  }
  std::vector<std::size_t> seen_by(count, 0);  // the last set, counted from 1, that came here
  std::vector<std::size_t> seen_by_node(node_count, 0);
  for (std::size_t set = 0; set < routed.part.size(); ++set) {
    for (int i = 0; i < routed.top_k; ++i) {
      const std::int32_t expert = routed.experts[set * routed.top_k + i];
      for (const int rank : holders[expert]) {
        if (seen_by[rank] == set + 1) continue;
        seen_by[rank] = set + 1;
        sent.rows[rank] += routed.part[set];
        const int node = nodes.node_of(rank);
        if (seen_by_node[node] == set + 1) continue;
        seen_by_node[node] = set + 1;
        sent.node_rows[node] += routed.part[set];
      }
    }
  }
  return sent;
}

}  // namespace hetmoe
