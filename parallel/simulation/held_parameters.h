#pragma once

#include <cstdint>
#include <vector>

#include "parallel/placement/placement.h"
#include "parallel/simulation/simulated_world.h"

namespace hetmoe {

/// Parameters of one rank, in elements. Held: compute copy and gradient; owned: master and moments.
struct HeldParameters {
  double dense = 0;  ///< held; the same on every rank
  double owned_dense = 0;
  double slices = 0;  ///< held
  double owned_slices = 0;

  double held() const { return dense + slices; }
  double owned() const { return owned_dense + owned_slices; }
};

/// All ranks of the world, [ranks]. A slice has a copy in every expert group, and each of these
/// owns an equal part of it; dense tensors are cut over the world as parallel/ownership does.
std::vector<HeldParameters> held_parameters(const SimulatedWorld& world,
                                            const Placement& placement);

}  // namespace hetmoe
