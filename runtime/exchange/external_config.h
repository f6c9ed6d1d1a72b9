#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "core/model/model_config.h"
#include "runtime/exchange/external_class.h"

namespace hetmoe {

/// What config.json says beside the model.
struct ExternalSettings {
  std::int64_t longest_sequence = 0;  ///< max_position_embeddings: tokens
  std::optional<std::int32_t> begin_token, end_token;
  std::string_view type;  ///< "float32", "bfloat16": of the exported weights
};

/// config.json of an exported model. Both spellings of what transformers 4 and 5 name otherwise.
/// The true widths stand in it whatever the class.
std::string external_config_json(const ModelConfig& model, ExternalClass external,
                                 const ExternalSettings& settings);

/// generation_config.json: greedy unless asked otherwise, and where a text ends.
std::string generation_config_json(const ExternalSettings& settings);

/// A model that another program has made, as it reads.
struct ImportedConfig {
  ModelConfig model;
  ExternalClass external = ExternalClass::kLlama;
};

/// Reads the text of a config.json: Mixtral, Qwen3-MoE or dense LLaMA. Everything that our decoder
/// computes otherwise is refused: scaled rotary positions, biases, shared experts, sliding windows,
/// dense layers among mixtures, other activations, quantised weights, custom code. Keys that say
/// nothing about the function are not looked at. The model's sizes are not checked against one
/// another: the rules of the run's configuration do that.
/// A dense model becomes one expert, K = 1. `file` is named in errors, with the key, its value and
/// what is allowed. Errors: StorageError, one line.
ImportedConfig read_external_config(std::string_view text, const std::string& file);

}  // namespace hetmoe
