#include "parallel/simulation/held_parameters.h"

#include "core/model/parameter_specs.h"
#include "parallel/ownership/dense_partition.h"

namespace hetmoe {

std::vector<HeldParameters> held_parameters(const SimulatedWorld& world,
                                            const Placement& placement) {
  std::vector<std::int64_t> slices(static_cast<std::size_t>(world.expert_group_size), 0);
  for (const LayerPlacement& layer : placement.layers) {
    for (const PlacedSlice& slice : layer.slices)
      slices[slice.rank] += kExpertMatrices * slice.width() * world.model.hidden_size;
  }
  std::vector<std::int64_t> owned_slices;
  for (int rank = 0; rank < world.ranks(); ++rank)
    owned_slices.push_back(slices[rank % world.expert_group_size] / world.groups());
  const auto cuts = partition_dense(dense_tensor_specs(world.model), owned_slices);
  std::vector<HeldParameters> held;
  for (int rank = 0; rank < world.ranks(); ++rank) {
    const double here = static_cast<double>(slices[rank % world.expert_group_size]);
    held.push_back({.dense = static_cast<double>(cuts.back()),
                    .owned_dense = static_cast<double>(cuts[rank + 1] - cuts[rank]),
                    .slices = here,
                    .owned_slices = here / world.groups()});
  }
  return held;
}

}  // namespace hetmoe
