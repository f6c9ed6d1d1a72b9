#pragma once

#include <vector>

#include "parallel/placement/cluster.h"
#include "parallel/simulation/held_parameters.h"

namespace hetmoe {

/// Seconds of one rank at the end of a step, waiting left out.
struct UpdateSeconds {
  double gradients = 0;   ///< sent to their owners and summed there
  double optimizer = 0;   ///< update of what is owned; gradients squared and cleared
  double parameters = 0;  ///< compute copies sent out by the owners
};

/// All ranks, [ranks]: dense tensors over the whole world, slices over the ranks that hold the same
/// slice in other expert groups. Owners get the fp32 gradients of everyone and send their copies to
/// everyone, pair by pair, as parallel/ownership does: (n - 1) / n of the bytes, as in a ring.
std::vector<UpdateSeconds> update_seconds(const Cluster& cluster, const SimulatedWorld& world,
                                          const std::vector<HeldParameters>& held);

}  // namespace hetmoe
