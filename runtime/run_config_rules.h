#pragma once

#include <vector>

#include "core/config/fault.h"
#include "runtime/run_config.h"

namespace hetmoe {

/// Contradictions between keys, each value by itself taken as allowed. A fault stands at the key
/// most likely to be changed; `also` names the others that have a part in it.
std::vector<ConfigFault> contradictions(const RunConfig& config);

}  // namespace hetmoe
