#include "parallel/dispatch/two_hop_pattern.h"

#include "core/base/check.h"
#include "parallel/dispatch/pattern_building.h"

namespace hetmoe {
namespace {

std::int32_t ranks_on_node(const RankNodes& nodes, int node) {
  return static_cast<std::int32_t>(nodes.ranks_of(node).size());
}

}  // namespace

TwoHopPattern make_two_hop_pattern(const Routing& routing, const LayerServers& servers,
                                   const RankNodes& nodes, int rank) {
  const ReplicaChoice choice(routing, servers, nodes, rank);
  const int num_ranks = nodes.ranks();
  TwoHopPattern pattern;
  pattern.near = build_pattern(num_ranks, [&](auto send) {
    for_each_server(routing, servers, choice,
                    [&](std::int64_t token, std::int64_t s, const SliceServer& server) {
                      if (nodes.are_apart(rank, server.rank)) return;
                      send({token, s, server.rank, server.slice, routing.gate[s]});
                    });
  });
  pattern.far = build_pattern(num_ranks, [&](auto send) {
    for_each_server(routing, servers, choice,
                    [&](std::int64_t token, std::int64_t s, const SliceServer& server) {
                      if (!nodes.are_apart(rank, server.rank)) return;
                      const int node = nodes.node_of(server.rank);
                      send({token, s, nodes.relay(rank, node),
                            server.slice * ranks_on_node(nodes, node) + nodes.place_of(server.rank),
                            routing.gate[s]});
                    });
  });
  pattern.rows_for_rank.assign(num_ranks, 0);
  pattern.selections_for_rank.assign(num_ranks, 0);
  std::vector<std::int64_t> last_token(num_ranks, -1);
  for_each_server(routing, servers, choice,
                  [&](std::int64_t token, std::int64_t, const SliceServer& server) {
                    if (!nodes.are_apart(rank, server.rank)) return;
                    pattern.rows_for_rank[server.rank] += last_token[server.rank] == token ? 0 : 1;
                    last_token[server.rank] = token;
                    ++pattern.selections_for_rank[server.rank];
                  });
  return pattern;
}

DispatchPattern make_handing_on_pattern(const RowsToHandOn& came, const RankNodes& nodes,
                                        int rank) {
  const std::vector<int>& here = nodes.ranks_of(nodes.node_of(rank));
  const auto ranks_here = static_cast<std::int32_t>(here.size());
  return build_pattern(nodes.ranks(), [&](auto send) {
    std::int64_t first_row = 0;
    std::size_t at = 0;
    for (std::size_t source = 0; source < came.rows_from_rank.size(); ++source) {
      for (std::int64_t i = 0; i < came.selections_from_rank[source]; ++i, ++at) {
        const SelectionOnWire& selection = came.wire[at];
        HETMOE_CHECK(selection.row >= 0 && selection.row < came.rows_from_rank[source] &&
                         selection.slice >= 0,
                     "row ", selection.row, " of ", came.rows_from_rank[source], ", slice ",
                     selection.slice, " from rank ", source);
        send({first_row + selection.row, static_cast<std::int64_t>(at),
              here[static_cast<std::size_t>(selection.slice % ranks_here)],
              selection.slice / ranks_here, selection.gate});
      }
      first_row += came.rows_from_rank[source];
    }
  });
}

}  // namespace hetmoe
