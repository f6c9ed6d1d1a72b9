#include "parallel/simulation/simulated_memory.h"

#include "core/model/hyper_parameters.h"

namespace hetmoe {

SimulatedMemory parameter_memory(const SimulatedWorld& world, const HeldParameters& held) {
  const double copies = held.owned_slices * (world.groups() - 1);
  const double buffers =
      world.ranks() > 1 ? held.owned_dense + held.slices - held.owned_slices + copies : 0;
  return {.weights = held.held() * world.value_bytes(),
          .gradients = (held.held() + buffers) * 4,
          .optimizer_state = held.owned() * (world.is_bf16 ? 12 : 8)};
}

double activation_bytes(const SimulatedWorld& world, double tokens) {
  const ModelConfig& model = world.model;
  const double hidden = static_cast<double>(model.hidden_size);
  const double query_width = static_cast<double>(model.num_heads * head_dim(model));
  const double key_width = static_cast<double>(model.num_kv_heads * head_dim(model));
  const double small_expert = model.hyper.enabled ? model.hyper.rank : 0;
  // Inputs of both norms, of the projections and of the experts; rotated query, key and value;
  // attention's output; the small expert's hidden units; per head the logarithm of its sum, per
  // norm its root, in fp32.
  const double layer_values = 4 * hidden + 2 * query_width + 2 * key_width + small_expert;
  const double layer_fp32 = static_cast<double>(model.num_heads) + 2;
  // Embedded rows and last hidden states, each with its gradient.
  const double ends_values = 4 * hidden;
  return tokens * (model.num_layers * (layer_values * world.value_bytes() + layer_fp32 * 4) +
                   ends_values * world.value_bytes());
}

double generated_weight_bytes(const SimulatedWorld& world, double tokens) {
  const double sets = most_generated_sets(world.model, world.value_bytes(), tokens);
  return generated_bytes(world.model, sets, world.value_bytes());
}

double received_bytes(const SimulatedWorld& world, const LayerTime& layer) {
  // The rows themselves, and gate and up of every row and slice.
  return (layer.received_rows * static_cast<double>(world.model.hidden_size) +
          2 * layer.hidden_values) *
         world.value_bytes();
}

}  // namespace hetmoe
