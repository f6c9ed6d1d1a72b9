#pragma once

#include <cstdint>
#include <vector>

#include "parallel/communicator/communicator.h"
#include "parallel/placement/placement.h"
#include "runtime/run_config.h"

namespace hetmoe {

/// [ranks] bytes of parameters, gradients, masters and moments that each holds; activations come on
/// top. `config.train.precision` must be resolved. Pure.
std::vector<std::int64_t> parameter_bytes(const RunConfig& config, const Placement& placement,
                                          int ranks);

/// Refuses a run whose parameters cannot fit into the memory of a host: Linux would grant the
/// memory and kill the job later. Collective. Errors: AgreedError (configuration) that names the
/// first such host's lowest rank, what is needed and what is there.
void require_memory(const RunConfig& config, const Placement& placement, Communicator& control);

}  // namespace hetmoe
