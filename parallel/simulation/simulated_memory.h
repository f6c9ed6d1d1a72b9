#pragma once

#include "parallel/simulation/held_parameters.h"
#include "parallel/simulation/layer_time.h"

namespace hetmoe {

/// Bytes of one rank when most is held: at the end of a microbatch's forward pass, or where a layer
/// is computed again, at the beginning of its backward pass.
struct SimulatedMemory {
  double weights = 0;          ///< compute copies
  double gradients = 0;        ///< fp32, and the buffers in which they travel
  double optimizer_state = 0;  ///< moments, and masters in bf16
  double activations = 0;      ///< of own tokens, all layers
  double received = 0;         ///< rows and hidden values of its slices, all layers

  double sum() const { return weights + gradients + optimizer_state + activations + received; }
};

/// Weights, gradients and optimizer state: exact. `ranks`: of the world.
SimulatedMemory parameter_memory(const SimulatedWorld& world, const HeldParameters& held);

/// What the forward pass keeps of one of a rank's own tokens, all layers and the last hidden
/// states: an estimate from the list of saved tensors (README.md).
double kept_bytes_per_token(const SimulatedWorld& world);
/// The same of a rank's tokens, with what one layer computes again.
double activation_bytes(const SimulatedWorld& world, double tokens);

/// Weights that HyperMoE's hypernetwork generates for a rank with so many tokens in a microbatch,
/// all layers, with their gradients; 0 without one.
double generated_weight_bytes(const SimulatedWorld& world, double tokens);

/// What one layer keeps of the rows that a rank received.
double received_bytes(const SimulatedWorld& world, const LayerTime& layer);
/// What its backward pass makes again of them, one layer at a time.
double recomputed_bytes(const SimulatedWorld& world, const LayerTime& layer);

}  // namespace hetmoe
