#pragma once

#include "core/base/check.h"

namespace hetmoe {

/// The world as groups of neighbouring ranks, each of which holds one copy of all experts under the
/// same placement: placements are over the ranks of one group. With one group all ranks hold one
/// copy together.
struct ExpertGroups {
  int size = 1;   ///< ranks of a group
  int count = 1;  ///< groups

  /// `size` divides `ranks`; 0: one group.
  static ExpertGroups of_world(int ranks, int size) {
    const ExpertGroups groups{size == 0 ? ranks : size, size == 0 ? 1 : ranks / size};
    HETMOE_CHECK(groups.size * groups.count == ranks, ranks, " ranks in groups of ", size);
    return groups;
  }

  int ranks() const { return size * count; }
  int group_of(int rank) const { return rank / size; }
  int rank_in_group(int rank) const { return rank % size; }
  int rank_of(int group, int rank_in_group) const { return group * size + rank_in_group; }
};

}  // namespace hetmoe
