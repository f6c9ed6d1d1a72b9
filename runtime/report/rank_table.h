#pragma once

#include <string>
#include <vector>

#include "runtime/coordinator/coordinator.h"

namespace hetmoe {

/// A line per rank under a heading, at most `most` of them; of more ranks those that ask for
/// attention: silent, absent or behind ones first, then the slowest of the others. A last line says
/// how many are not shown. A rank's speed is its expert FLOPs over its own time: step less waiting.
std::string rank_table(const CoordinatorStatus& status, std::size_t most);

/// "3, 7 to 9, 12"; of more than `most` such parts the first ones, "and 5 more".
std::string ranks_text(const std::vector<int>& ascending, std::size_t most = 8);

/// Printed on a terminal: without control characters and bytes beyond ASCII, at most that long.
std::string plain_text(const std::string& sent, std::size_t most);

}  // namespace hetmoe
