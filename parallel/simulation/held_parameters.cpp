#include "parallel/simulation/held_parameters.h"

#include <numeric>

#include "core/model/parameter_specs.h"
#include "parallel/ownership/dense_partition.h"
#include "parallel/placement/owned_slices.h"

namespace hetmoe {

std::vector<HeldParameters> held_parameters(const SimulatedWorld& world,
                                            const Placement& placement) {
  const std::int64_t row_elements = kExpertMatrices * world.model.hidden_size;
  const ExpertGroups groups{world.expert_group_size, world.groups()};
  std::vector<double> slices(static_cast<std::size_t>(groups.size), 0);
  for (const LayerPlacement& layer : placement.layers) {
    for (const PlacedSlice& slice : layer.slices)
      slices[slice.rank] += static_cast<double>(slice.width() * row_elements);
  }
  std::vector<std::int64_t> owned_slices = owned_rows(placement, groups);
  for (std::int64_t& rows : owned_slices) rows *= row_elements;
  const auto owned_dense =
      owned_dense_elements(partition_dense(dense_tensor_specs(world.model), owned_slices));
  const std::int64_t dense = std::reduce(owned_dense.begin(), owned_dense.end());
  std::vector<HeldParameters> held;
  for (int rank = 0; rank < world.ranks(); ++rank) {
    held.push_back({.dense = static_cast<double>(dense),
                    .owned_dense = static_cast<double>(owned_dense[rank]),
                    .slices = slices[groups.rank_in_group(rank)],
                    .owned_slices = static_cast<double>(owned_slices[rank])});
  }
  return held;
}

}  // namespace hetmoe
