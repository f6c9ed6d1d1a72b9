#pragma once

#include "parallel/communicator/communicator.h"
#include "parallel/placement/expert_groups.h"
#include "parallel/placement/rank_nodes.h"
#include "runtime/run_config.h"

namespace hetmoe {

/// The nodes of the ranks of this rank's expert group: so many neighbours of the world as
/// `topology` says, or else the hosts that the ranks are found on. `control`: of the world.
/// Collective, blocking.
RankNodes dispatch_nodes(const TopologyConfig& topology, const ExpertGroups& groups,
                         Communicator& control);

}  // namespace hetmoe
