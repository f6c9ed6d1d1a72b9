#pragma once

#include <functional>
#include <string>

#include "parallel/communicator/communicator.h"
#include "runtime/run_config.h"

namespace hetmoe {

/// What `load` gives on this rank, after all ranks have found that it gave the same everywhere:
/// ranks that went on with different configurations would wait for each other for ever. `source`
/// names the place for people.
/// Collective. Errors: those of `load`, and ConfigError, on all ranks alike.
RunConfig load_shared_config(Communicator& world, const std::string& source,
                             const std::function<RunConfig()>& load);

}  // namespace hetmoe
