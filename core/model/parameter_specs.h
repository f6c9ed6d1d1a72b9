#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/model/initial_values.h"
#include "core/model/model_config.h"
#include "core/model/slice.h"

namespace hetmoe {

/// A dense tensor of the model by its global name. A vector (a norm's weight) has columns = 1.
struct TensorSpec {
  std::string name;
  std::int64_t rows = 0;
  std::int64_t columns = 1;
  bool is_matrix = true;  ///< matrices decay, vectors do not
  Initial initial;
  int block = 0;  ///< that it belongs to, see kEmbeddingBlock

  std::int64_t elements() const { return rows * columns; }
};

/// Blocks of tensors that are needed, and whose gradients are complete, at the same time: the
/// embedding, the layers 0 .. num_layers - 1, the final norm with the head, the hypernetwork.
inline constexpr int kEmbeddingBlock = -1;
int head_block(const ModelConfig& config);
int hypernetwork_block(const ModelConfig& config);

/// All tensors outside the experts, block after block in the order above. query, key and value
/// follow one another, so that their rows are one matrix. With tied embeddings there is no "head".
std::vector<TensorSpec> dense_tensor_specs(const ModelConfig& config);

/// The three matrices of an expert, in the order in which a slice stores them.
enum class ExpertMatrix { kGate = 0, kUp = 1, kDown = 2 };
inline constexpr int kExpertMatrices = 3;

/// How the matrices of all experts begin.
Initial initial_of_experts(const ModelConfig& config);

/// "layers.3.experts.5.gate".
std::string expert_tensor_name(int layer, int expert, ExpertMatrix matrix);

/// Parameters of the whole model, and those that one token meets when `selected_width` hidden
/// units per layer are selected for it (the paper counts both embeddings). Every token meets the
/// whole hypernetwork, and of free adapters per expert those of the selected experts.
std::int64_t total_parameters(const ModelConfig& config);
std::int64_t active_parameters(const ModelConfig& config, double selected_width);

/// Forward FLOPs (2 m n k) of one token outside the experts: attention projections, causal half of
/// the scores at the given length, router, the small expert, output head; no embedding, and not the
/// generation of the small expert's weights (hyper_parameters.h).
double dense_forward_flops_per_token(const ModelConfig& config, std::int64_t length);

/// Forward FLOPs of one token through `width` hidden units: three products.
double expert_forward_flops(const ModelConfig& config, double width);

}  // namespace hetmoe
