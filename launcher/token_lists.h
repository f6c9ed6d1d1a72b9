#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hetmoe {

/// Reads [[1, 2, ...], ...]: at least one list of ids that fit into 32 bits.
/// Errors: ConfigError that names --tokens and what is wrong with it.
std::vector<std::vector<std::int32_t>> parse_token_lists(const std::string& json);

}  // namespace hetmoe
