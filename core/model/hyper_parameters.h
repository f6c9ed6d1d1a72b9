#pragma once

#include <cstdint>
#include <vector>

#include "core/model/model_config.h"
#include "core/model/parameter_specs.h"

namespace hetmoe {

/// Whether the model has a hypernetwork: a small expert that is generated and not free.
bool has_hypernetwork(const ModelConfig& config);

/// Tensors of the hypernetwork, those of single layers included, all in hypernetwork_block; none
/// without one. A linear layer is `.weight` [out, in] and `.bias` [out].
///   layers.N.hyper.embedding  [E, e]   v, one row per expert
///   layers.N.hyper.process    e -> p   P1, c1
///   layers.N.hyper.project    p -> q   P2, c2
///   hypernetwork.layer_embedding [layers, l]
///   hypernetwork.hidden       q + l -> h
///   hypernetwork.down         h -> D r, flat index of the weight it makes: feature * r + unit
///   hypernetwork.up           h -> r D, flat index: unit * D + feature
///   hypernetwork.down_bias    h -> r      hypernetwork.up_bias  h -> D
/// Source: HyperMoE (arXiv 2402.12656), released code; so are the first values: heads uniform
/// within 1e-3 sqrt(3 / (h fan)) with biases 0, so that the expert begins near 0; the rest as
/// PyTorch's defaults, normal embeddings and linear layers uniform within 1 / sqrt(in).
std::vector<TensorSpec> hypernetwork_specs(const ModelConfig& config);

/// Free adapters of one layer, in the layer's block; none when they are generated or absent. All
/// adapters of a layer are one tensor each: layers.N.hyper.down [A D, r], .up [A r, D],
/// .down_bias [A r], .up_bias [A D]. up and biases begin at 0, so that the adapter does.
std::vector<TensorSpec> adapter_specs(const ModelConfig& config, int layer);

/// A: one per layer, or one per expert.
std::int64_t num_adapters(const HyperConfig& hyper, int num_experts);

/// Parameters of free adapters that a token does not meet, all layers, when it selects
/// `selected_share` of the experts.
double idle_adapter_parameters(const ModelConfig& config, double selected_share);

/// C(num_experts, size), or the largest integer where that would overflow.
std::int64_t number_of_sets(int num_experts, int size);

/// Values that the hypernetwork generates for one set of experts in one layer: both weights, both
/// biases.
std::int64_t generated_values(const ModelConfig& config);

/// Bytes of the weights generated for `sets` sets of every layer, and of their fp32 gradients: what
/// model.hyper.memory_limit bounds.
double generated_bytes(const ModelConfig& config, double sets, double value_bytes);

/// The sets for which a rank with so many tokens in a microbatch generates weights, at most; 0
/// without a hypernetwork, or where none are made because there would be too many.
double most_generated_sets(const ModelConfig& config, double value_bytes, double tokens);

/// Forward FLOPs of one token in one layer's small expert: its two products, for expert_adapters
/// once per selected expert (top_p: counted once). Generating weights is not counted: its cost does
/// not depend on the number of tokens.
double hyper_forward_flops_per_token(const ModelConfig& config);

}  // namespace hetmoe
