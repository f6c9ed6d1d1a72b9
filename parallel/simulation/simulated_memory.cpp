#include "parallel/simulation/simulated_memory.h"

#include "core/model/hyper_parameters.h"

namespace hetmoe {
namespace {

/// Per token what the small expert keeps: hidden units, and its output where a gate multiplies it.
double small_expert_values(const ModelConfig& model) {
  const HyperConfig& hyper = model.hyper;
  if (!hyper.enabled) return 0;
  const double selected = hyper.kind != HyperKind::kExpertAdapters ? 1
                          : model.router.kind == RouterKind::kTopK
                              ? model.router.top_k
                              : model.router.top_p * model.experts.count;
  const bool is_gated = hyper.kind == HyperKind::kGenerated && hyper.gated;
  return selected * hyper.rank + (is_gated ? static_cast<double>(model.hidden_size) + 1 : 0);
}

/// Of one token and layer.
double layer_bytes(const SimulatedWorld& world, Recompute recompute) {
  const ModelConfig& model = world.model;
  const double hidden = static_cast<double>(model.hidden_size);
  const double query_width = static_cast<double>(model.num_heads * head_dim(model));
  const double key_width = static_cast<double>(model.num_kv_heads * head_dim(model));
  // The block's input, the small expert's, and the router's probabilities in fp32.
  const double always =
      (hidden + small_expert_values(model)) * world.value_bytes() + 4.0 * model.experts.count;
  if (recompute == Recompute::kBlock) return always;
  // Inputs of the other norm, of the projections and of the experts, which is what is received
  // where nothing is sent; query, key and value; attention's output; per head the logarithm
  // of its sum, per norm its root, in fp32.
  const double inputs = world.expert_group_size > 1 ? 3 : 2;
  const double values = inputs * hidden + 2 * query_width + 2 * key_width;
  const double fp32 = static_cast<double>(model.num_heads) + 2;
  return always + values * world.value_bytes() + fp32 * 4;
}

/// Products with gate and up, of every row and slice.
double gate_up_bytes(const SimulatedWorld& world, const LayerTime& layer) {
  return 2 * layer.hidden_values * world.value_bytes();
}

}  // namespace

SimulatedMemory parameter_memory(const SimulatedWorld& world, const HeldParameters& held) {
  const double copies = held.owned_slices * (world.groups() - 1);
  const double buffers =
      world.ranks() > 1 ? held.owned_dense + held.slices - held.owned_slices + copies : 0;
  return {.weights = held.held() * world.value_bytes(),
          .gradients = (held.held() + buffers) * 4,
          .optimizer_state = held.owned() * (world.is_bf16 ? 12 : 8)};
}

double kept_bytes_per_token(const SimulatedWorld& world) {
  // Input of the last norm, its root in fp32, the last hidden states and their gradient.
  const double ends = 3 * static_cast<double>(world.model.hidden_size) * world.value_bytes() + 4;
  return world.model.num_layers * layer_bytes(world, world.recompute) + ends;
}

double activation_bytes(const SimulatedWorld& world, double tokens) {
  const double computed_again =
      layer_bytes(world, Recompute::kNone) - layer_bytes(world, world.recompute);
  return tokens * (kept_bytes_per_token(world) + computed_again);
}

double generated_weight_bytes(const SimulatedWorld& world, double tokens) {
  const double sets = most_generated_sets(world.model, world.value_bytes(), tokens);
  return generated_bytes(world.model, sets, world.value_bytes());
}

double received_bytes(const SimulatedWorld& world, const LayerTime& layer) {
  const double rows =
      layer.received_rows * static_cast<double>(world.model.hidden_size) * world.value_bytes();
  return world.recompute == Recompute::kNone ? rows + gate_up_bytes(world, layer) : rows;
}

double recomputed_bytes(const SimulatedWorld& world, const LayerTime& layer) {
  return world.recompute == Recompute::kNone ? 0 : gate_up_bytes(world, layer);
}

}  // namespace hetmoe
