#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/check.h"
#include "core/base/error.h"
#include "runtime/exchange/external_config.h"

namespace hetmoe {
namespace {

using nlohmann::json;

constexpr std::size_t kLongestShown = 60;

/// The object of config.json; every access checks, `null` counts as absent.
class Keys {
 public:
  Keys(const json& object, const std::string& file) : object_(object), file_(file) {}

  bool has(const char* key) const { return object_.contains(key) && !object_.at(key).is_null(); }

  [[noreturn]] void refuse(const std::string& key, const std::string& allowed) const {
    std::string value = object_.contains(key)
                            ? object_.at(key).dump(-1, ' ', true, json::error_handler_t::replace)
                            : "absent";
    if (value.size() > kLongestShown) value = value.substr(0, kLongestShown) + "...";
    throw StorageError(file_ + ": " + key + ": " + value + ", allowed: " + allowed);
  }

  std::int64_t integer(const char* key, std::int64_t high) const {
    const json* value = has(key) ? &object_.at(key) : nullptr;
    const bool fits = value != nullptr && value->is_number_integer() &&
                      (!value->is_number_unsigned() ||
                       value->get<std::uint64_t>() <= static_cast<std::uint64_t>(high)) &&
                      value->get<std::int64_t>() >= 1 && value->get<std::int64_t>() <= high;
    if (!fits) refuse(key, "an integer from 1 to " + std::to_string(high));
    return value->get<std::int64_t>();
  }
  std::int64_t integer(const char* key, std::int64_t high, std::int64_t absent) const {
    return has(key) ? integer(key, high) : absent;
  }

  double number(const char* key, double absent) const {
    if (!has(key)) return absent;
    if (!object_.at(key).is_number()) refuse(key, "a number");
    return object_.at(key).get<double>();
  }

  bool flag(const char* key) const {
    if (!has(key)) return false;
    if (!object_.at(key).is_boolean()) refuse(key, "true or false");
    return object_.at(key).get<bool>();
  }

  std::string text(const char* key) const {
    if (!has(key) || !object_.at(key).is_string()) return {};
    return object_.at(key).get<std::string>();
  }

  const json& at(const char* key) const { return object_.at(key); }
  Keys inside(const char* key) const {
    if (!object_.at(key).is_object()) refuse(key, "an object");
    return {object_.at(key), file_ + ": " + key};
  }

 private:
  const json& object_;
  std::string file_;
};

constexpr std::int64_t kMostSize = std::int64_t{1} << 24;
constexpr std::int64_t kMostCount = std::int64_t{1} << 16;

ExternalClass class_of(const Keys& keys) {
  const std::string type = keys.text("model_type");
  for (const auto external :
       {ExternalClass::kLlama, ExternalClass::kMixtral, ExternalClass::kQwen3Moe}) {
    if (type == model_type_of(external)) return external;
  }
  keys.refuse("model_type", "mixtral, qwen3_moe, llama");
}

void refuse_flags(const Keys& keys) {
  for (const char* key : {"attention_bias", "mlp_bias", "qkv_bias"}) {
    if (keys.flag(key)) keys.refuse(key, "false (our layers have no biases)");
  }
  for (const char* key :
       {"shared_expert_intermediate_size", "n_shared_experts", "num_shared_experts"}) {
    if (keys.has(key) && keys.at(key) != 0) keys.refuse(key, "none (we have no shared experts)");
  }
  for (const char* key : {"quantization_config", "compression_config"}) {
    if (keys.has(key)) keys.refuse(key, "none (weights of F32, BF16 or F16)");
  }
  if (keys.has("auto_map")) keys.refuse("auto_map", "none (the model brings code of its own)");
}

void check_dense_layers(const Keys& keys) {
  if (keys.integer("decoder_sparse_step", kMostCount, 1) != 1) {
    keys.refuse("decoder_sparse_step", "1 (every layer is a mixture)");
  }
  if (keys.has("mlp_only_layers") && !keys.at("mlp_only_layers").empty()) {
    keys.refuse("mlp_only_layers", "[] (every layer is a mixture)");
  }
}

/// Active: nearer than the longest sequence.
void check_windows(const Keys& keys, ExternalClass external) {
  if (keys.has("layer_types")) {
    for (const json& type : keys.at("layer_types")) {
      if (type != "full_attention") keys.refuse("layer_types", "full_attention in every layer");
    }
  }
  if (external == ExternalClass::kQwen3Moe && !keys.flag("use_sliding_window")) return;
  if (!keys.has("sliding_window")) return;
  const std::int64_t longest = keys.integer("max_position_embeddings", kMostSize, 0);
  if (keys.integer("sliding_window", kMostSize) < longest || longest == 0) {
    keys.refuse("sliding_window", "null, or at least max_position_embeddings");
  }
}

void require_default_rope(const Keys& rope) {
  for (const char* key : {"rope_type", "type"}) {
    if (rope.has(key) && rope.text(key) != "default") {
      rope.refuse(key, "default (positions are not scaled)");
    }
  }
}

/// transformers 5 writes rope_parameters, earlier ones rope_theta and rope_scaling.
double rope_theta(const Keys& keys, double absent) {
  double theta = keys.number("rope_theta", absent);
  if (keys.has("rope_scaling")) {
    const Keys scaling = keys.inside("rope_scaling");
    if (!scaling.has("rope_type") && !scaling.has("type")) {
      keys.refuse("rope_scaling", "null (positions are not scaled)");
    }
    require_default_rope(scaling);
  }
  const auto require_whole = [](const Keys& where) {
    if (where.number("partial_rotary_factor", 1) != 1) {
      where.refuse("partial_rotary_factor", "1 (all of a head is rotated)");
    }
  };
  require_whole(keys);
  if (keys.has("rope_parameters")) {
    const Keys rope = keys.inside("rope_parameters");
    require_default_rope(rope);
    require_whole(rope);
    theta = rope.number("rope_theta", theta);
  }
  return theta;
}

/// What transformers takes where a key is absent.
struct Defaults {
  double norm_epsilon, theta;
  std::int64_t key_heads;  ///< 0: as many as query heads
};

Defaults defaults_of(ExternalClass external) {
  if (external == ExternalClass::kMixtral) return {1e-5, 1e6, 8};
  if (external == ExternalClass::kQwen3Moe) return {1e-6, 10000, 4};
  return {1e-6, 10000, 0};
}

ModelConfig decoder_of(const Keys& keys, ExternalClass external) {
  const Defaults defaults = defaults_of(external);
  ModelConfig model;
  model.vocab_size = keys.integer("vocab_size", kMostSize);
  model.hidden_size = keys.integer("hidden_size", kMostSize);
  model.num_layers = static_cast<int>(keys.integer("num_hidden_layers", kMostCount));
  model.num_heads = static_cast<int>(keys.integer("num_attention_heads", kMostCount));
  model.num_kv_heads =
      static_cast<int>(keys.integer("num_key_value_heads", kMostCount,
                                    defaults.key_heads > 0 ? defaults.key_heads : model.num_heads));
  model.head_dim = keys.integer("head_dim", kMostSize, 0);
  model.rope_theta = rope_theta(keys, defaults.theta);
  model.qk_norm = external == ExternalClass::kQwen3Moe;
  model.norm_epsilon = keys.number("rms_norm_eps", defaults.norm_epsilon);
  model.tie_embeddings = keys.flag("tie_word_embeddings");
  return model;
}

void add_mixture(const Keys& keys, ExternalClass external, ModelConfig& model) {
  RouterConfig& router = model.router;
  router.parameter_penalty = 0;  // equal widths: it would be another balance
  if (external == ExternalClass::kLlama) {
    model.experts.count = 1;
    model.experts.widths = {keys.integer("intermediate_size", kMostSize)};
    router.top_k = 1;
    return;
  }
  const bool mixtral = external == ExternalClass::kMixtral;
  const char* count = mixtral || !keys.has("num_experts") ? "num_local_experts" : "num_experts";
  model.experts.count = static_cast<int>(keys.integer(count, kMostExperts));
  model.experts.widths.assign(
      static_cast<std::size_t>(model.experts.count),
      keys.integer(mixtral ? "intermediate_size" : "moe_intermediate_size", kMostSize));
  router.top_k = static_cast<int>(keys.integer("num_experts_per_tok", kMostCount));
  const bool sums_to_one = mixtral || keys.flag("norm_topk_prob");
  router.renormalize = sums_to_one ? Renormalize::kTrue : Renormalize::kFalse;
  router.allow_untrained = sums_to_one && router.top_k == 1;
  router.load_balance = 0.01;
}

}  // namespace

ImportedConfig read_external_config(std::string_view text, const std::string& file) {
  const json root = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) throw StorageError(file + ": is no JSON object");
  const Keys keys(root, file);
  ImportedConfig imported;
  imported.external = class_of(keys);
  refuse_flags(keys);
  check_dense_layers(keys);
  check_windows(keys, imported.external);
  if (const std::string act = keys.has("hidden_act") ? keys.text("hidden_act") : "silu";
      act != "silu" && act != "swish") {
    keys.refuse("hidden_act", "silu");
  }
  imported.model = decoder_of(keys, imported.external);
  add_mixture(keys, imported.external, imported.model);
  return imported;
}

}  // namespace hetmoe
