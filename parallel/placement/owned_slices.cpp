#include "parallel/placement/owned_slices.h"

#include "parallel/placement/replicas.h"

namespace hetmoe {
namespace {

/// Where the run of rows of `group` begins among the groups' equal runs.
std::int64_t begin_of_group(const Slice& slice, std::int64_t group, std::int64_t count) {
  return slice.begin + slice.width() * group / count;
}

}  // namespace

std::vector<OwnedSlice> owned_slices(const LayerPlacement& placement, int layer,
                                     const ExpertGroups& groups) {
  std::vector<OwnedSlice> owned;
  const PlacedSlice* first = nullptr;  // of the replicas of these rows: they are sorted by rank
  for (const PlacedSlice& placed : placement.slices) {
    if (first != nullptr && are_replicas(*first, placed)) continue;
    first = &placed;
    const Slice slice{layer, placed.expert, placed.begin, placed.end};
    for (int group = 0; group < groups.count; ++group) {
      const std::int64_t begin = begin_of_group(slice, group, groups.count);
      const std::int64_t end = begin_of_group(slice, group + 1, groups.count);
      if (begin == end) continue;
      owned.push_back({{layer, slice.expert, begin, end}, groups.rank_of(group, placed.rank)});
    }
  }
  return owned;
}

std::vector<Slice> slices_owned_by(const LayerPlacement& placement, int layer,
                                   const ExpertGroups& groups, int rank) {
  std::vector<Slice> slices;
  for (const OwnedSlice& owned : owned_slices(placement, layer, groups)) {
    if (owned.owner == rank) slices.push_back(owned.slice);
  }
  return slices;
}

std::vector<std::int64_t> owned_rows(const Placement& placement, const ExpertGroups& groups) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(groups.ranks()), 0);
  for (const LayerPlacement& layer : placement.layers) {
    for (const auto& [slice, owner] : owned_slices(layer, 0, groups)) rows[owner] += slice.width();
  }
  return rows;
}

std::vector<SharedRows> shared_rows(const LayerPlacement& placement, const ExpertGroups& groups) {
  std::vector<SharedRows> shared;
  auto placed = placement.slices.begin();  // the first replica of the rows at hand
  for (const auto& [run, owner] : owned_slices(placement, 0, groups)) {
    while (placed->expert != run.expert || placed->end <= run.begin) ++placed;
    auto end = placed;
    while (end != placement.slices.end() && are_replicas(*placed, *end)) ++end;
    for (int group = 0; group < groups.count; ++group) {
      for (auto replica = placed; replica != end; ++replica) {
        const int holder = groups.rank_of(group, replica->rank);
        if (holder == owner) continue;
        shared.push_back({run.expert, run.begin, run.end, owner, holder});
      }
    }
  }
  return shared;
}

}  // namespace hetmoe
