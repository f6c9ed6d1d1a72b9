#pragma once

#include "parallel/placement/cluster.h"
#include "parallel/simulation/simulated_world.h"

namespace hetmoe {

/// Seconds of everything outside the experts for one rank's own `tokens` of a microbatch, all
/// layers, forward and backward: projections, attention, embedding, output head, HyperMoE's small
/// expert, and as the fixed time and the time per value of a layer its norms, residual sums and
/// routing. Backward products count twice the forward ones. A rank without tokens still pays the
/// fixed time of its layers.
double dense_seconds(const Cluster& cluster, const SimulatedWorld& world, double tokens);

}  // namespace hetmoe
