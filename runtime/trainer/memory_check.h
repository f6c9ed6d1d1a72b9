#pragma once

#include <cstdint>
#include <vector>

#include "parallel/communicator/communicator.h"
#include "parallel/placement/expert_groups.h"
#include "parallel/placement/placement.h"
#include "runtime/run_config.h"

namespace hetmoe {

/// What one rank needs beside the program itself.
struct MemoryNeed {
  /// Parameters, gradients, masters and moments, the buffers in which they travel, the copy that is
  /// saved, and generated weights: all but the communicator's scratch for sums (ownership.h).
  std::int64_t state_bytes = 0;
  std::int64_t activation_bytes = 0;  ///< what a microbatch's forward pass keeps: an estimate
};

/// [ranks of the world], under a uniform load. `config.train.precision` must be resolved. Pure.
std::vector<MemoryNeed> memory_needs(const RunConfig& config, const Placement& placement,
                                     const ExpertGroups& groups);

/// Refuses a run whose parameters cannot fit into the memory of a host: Linux would grant the
/// memory and kill the job later. Collective. Errors: AgreedError (configuration) that names the
/// first such host's lowest rank, what is needed and what is there.
void require_memory(const RunConfig& config, const Placement& placement, const ExpertGroups& groups,
                    Communicator& control);

}  // namespace hetmoe
