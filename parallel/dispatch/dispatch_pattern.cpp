#include "parallel/dispatch/dispatch_pattern.h"

#include "parallel/dispatch/pattern_building.h"

namespace hetmoe {

DispatchPattern make_dispatch_pattern(const Routing& routing, const LayerServers& servers,
                                      int num_ranks) {
  const ReplicaChoice choice(routing, servers);
  return build_pattern(num_ranks, [&](auto send) {
    for_each_server(routing, servers, choice,
                    [&](std::int64_t token, std::int64_t s, const SliceServer& server) {
                      send({token, s, server.rank, server.slice, routing.gate[s]});
                    });
  });
}

}  // namespace hetmoe
