#include "runtime/exchange/external_class.h"

#include <algorithm>

#include "core/base/error.h"

namespace hetmoe {
namespace {

/// transformers 5 multiplies stacked experts by a grouped product whose rows must be whole
/// multiples of 16 bytes, in bf16 too.
constexpr std::int64_t kGranule = 8;

struct Names {
  std::string_view model_type, architecture;
};

Names names_of(ExternalClass external) {
  switch (external) {
    case ExternalClass::kLlama:
      return {"llama", "LlamaForCausalLM"};
    case ExternalClass::kMixtral:
      return {"mixtral", "MixtralForCausalLM"};
    case ExternalClass::kQwen2Moe:
      return {"qwen2_moe", "Qwen2MoeForCausalLM"};
    case ExternalClass::kQwen3Moe:
      return {"qwen3_moe", "Qwen3MoeForCausalLM"};
    case ExternalClass::kHetmoe:
      break;
  }
  return {"hetmoe", "HetmoeForCausalLM"};
}

/// What no class of transformers computes; empty: there is one.
std::string obstacle(const ModelConfig& model) {
  if (model.hyper.enabled) return "model.hyper.enabled true";
  const bool chooses = model.experts.count > 1;
  if (chooses && model.router.kind == RouterKind::kTopP) return "model.router.kind top_p";
  return {};
}

/// The dense class wants heads that divide the hidden size, even where head_dim is given.
bool is_dense(const ModelConfig& model) {
  return model.experts.count == 1 && !model.qk_norm && model.hidden_size % model.num_heads == 0;
}

}  // namespace

std::string_view model_type_of(ExternalClass external) { return names_of(external).model_type; }

std::string_view architecture_of(ExternalClass external) { return names_of(external).architecture; }

ExternalClass class_for_export(const ModelConfig& model, ExportLayout layout) {
  if (model.router.forced != "none") {
    throw ConfigError("model.router.forced: value " + model.router.forced +
                      ", allowed for export: none (a workload chose the experts, not the model)");
  }
  if (layout == ExportLayout::kNative) return ExternalClass::kHetmoe;
  if (const std::string found = obstacle(model); !found.empty()) {
    if (layout == ExportLayout::kAuto) return ExternalClass::kHetmoe;
    throw ConfigError("--layout padded: no class of transformers has " + found +
                      ", allowed: --layout native");
  }
  if (is_dense(model)) return ExternalClass::kLlama;
  if (model.qk_norm) return ExternalClass::kQwen3Moe;
  return renormalizes(model.router) || model.experts.count == 1 ? ExternalClass::kMixtral
                                                                : ExternalClass::kQwen2Moe;
}

std::vector<std::int64_t> stored_widths(const ModelConfig& model, ExternalClass external) {
  std::vector<std::int64_t> widths = expert_widths(model.experts);
  if (external == ExternalClass::kHetmoe) return widths;
  const std::int64_t widest = *std::ranges::max_element(widths);
  const bool aligned = external != ExternalClass::kLlama;
  std::ranges::fill(widths, aligned ? (widest + kGranule - 1) / kGranule * kGranule : widest);
  return widths;
}

}  // namespace hetmoe
