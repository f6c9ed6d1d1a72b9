#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/model_config.h"

namespace hetmoe {

/// The classes of Hugging Face's transformers that models go to or come from; kHetmoe is our own,
/// whose code travels with the model.
enum class ExternalClass : std::uint8_t { kLlama, kMixtral, kQwen2Moe, kQwen3Moe, kHetmoe };

/// "mixtral"; what config.json calls `model_type`.
std::string_view model_type_of(ExternalClass external);
/// "MixtralForCausalLM".
std::string_view architecture_of(ExternalClass external);

/// How experts of unequal width are stored: with zeros up to the widest, in a class that
/// transformers has; or as they are, in our own. Auto: padded where a class computes the same
/// function.
enum class ExportLayout : std::uint8_t { kAuto, kPadded, kNative };

/// The class that computes exactly what the model does. Padded: one expert alone goes to LLaMA,
/// normalised queries and keys to Qwen3-MoE, gates that sum to 1 to Mixtral, others to Qwen2-MoE.
/// Errors: ConfigError that names the key which no class has.
ExternalClass class_for_export(const ModelConfig& model, ExportLayout layout);

/// Hidden units of each expert as the class stores it: its own in kHetmoe; else the widest's, of
/// several experts rounded up to a multiple of 8, without which transformers 5 cannot compute them.
std::vector<std::int64_t> stored_widths(const ModelConfig& model, ExternalClass external);

}  // namespace hetmoe
