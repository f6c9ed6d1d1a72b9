#include "runtime/trainer/dispatch_nodes.h"

#include <vector>

#include "parallel/communicator/rank_hosts.h"

namespace hetmoe {

RankNodes dispatch_nodes(const TopologyConfig& topology, const ExpertGroups& groups,
                         Communicator& control) {
  const int first = groups.rank_of(groups.group_of(control.rank()), 0);
  if (topology.ranks_per_node > 0) {
    return nodes_of_neighbours(topology.ranks_per_node, first, groups.size);
  }
  const std::vector<int> hosts = hosts_of_ranks(control);
  return RankNodes(std::vector<int>(hosts.begin() + first, hosts.begin() + first + groups.size));
}

}  // namespace hetmoe
