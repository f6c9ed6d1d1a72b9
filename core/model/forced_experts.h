#pragma once

#include <cstdint>
#include <vector>

#include "core/model/microbatch.h"
#include "core/model/model_config.h"

namespace hetmoe {

/// The experts that pass.forced chooses for the tokens of a layer, top_k each, ascending; empty
/// where the router chooses.
std::vector<std::int32_t> forced_experts(int layer, const RouterConfig& router,
                                         const PassState& pass);

}  // namespace hetmoe
