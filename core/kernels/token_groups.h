#pragma once

#include <cstdint>
#include <vector>

namespace hetmoe {

/// Tokens in groups: group g holds token[begin[g]] .. token[begin[g + 1]]. A token is in one group
/// at most, a group may be empty.
struct TokenGroups {
  std::vector<std::int64_t> token;
  std::vector<std::int64_t> begin = {0};  ///< [groups + 1]

  std::int64_t size() const { return static_cast<std::int64_t>(begin.size()) - 1; }
};

}  // namespace hetmoe
