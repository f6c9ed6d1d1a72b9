#include <nlohmann/json.hpp>

#include "runtime/exchange/external_config.h"

namespace hetmoe {
namespace {

using Json = nlohmann::ordered_json;

Json token_json(const std::optional<std::int32_t>& token) { return token ? Json(*token) : Json(); }

Json common_json(const ModelConfig& model, ExternalClass external,
                 const ExternalSettings& settings) {
  Json json;
  json["architectures"] = {architecture_of(external)};
  json["model_type"] = model_type_of(external);
  json["vocab_size"] = model.vocab_size;
  json["hidden_size"] = model.hidden_size;
  json["num_hidden_layers"] = model.num_layers;
  json["num_attention_heads"] = model.num_heads;
  json["num_key_value_heads"] = model.num_kv_heads;
  json["head_dim"] = head_dim(model);
  json["max_position_embeddings"] = settings.longest_sequence;
  json["rms_norm_eps"] = model.norm_epsilon;
  json["rope_theta"] = model.rope_theta;
  json["tie_word_embeddings"] = model.tie_embeddings;
  json["initializer_range"] = model.initializer_range;
  json["bos_token_id"] = token_json(settings.begin_token);
  json["eos_token_id"] = token_json(settings.end_token);
  json["use_cache"] = true;
  json["dtype"] = settings.type;
  json["torch_dtype"] = settings.type;  // transformers before 5
  return json;
}

/// What a class that transformers has needs beyond.
void add_class_keys(const ModelConfig& model, ExternalClass external, Json& json) {
  const std::int64_t width = stored_widths(model, external).front();
  json["hidden_act"] = "silu";
  json["attention_dropout"] = 0.0;
  json["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", model.rope_theta}};
  json["intermediate_size"] = width;
  if (external == ExternalClass::kLlama) {
    json["attention_bias"] = false;
    json["mlp_bias"] = false;
    return;
  }
  json["num_experts_per_tok"] = model.router.top_k;
  json["output_router_logits"] = false;
  json["sliding_window"] = nullptr;
  if (external == ExternalClass::kMixtral) {
    json["num_local_experts"] = model.experts.count;
    return;
  }
  json["num_experts"] = model.experts.count;
  json["moe_intermediate_size"] = width;
  json["norm_topk_prob"] = renormalizes(model.router);
  json["decoder_sparse_step"] = 1;
  json["mlp_only_layers"] = Json::array();
  json["use_sliding_window"] = false;
  if (external == ExternalClass::kQwen3Moe) {
    json["attention_bias"] = false;
  } else {
    json["qkv_bias"] = false;
    json["shared_expert_intermediate_size"] = 1;
  }
}

Json hyper_json(const HyperConfig& hyper) {
  if (!hyper.enabled) return nullptr;
  const auto word = [](auto value) { return enum_words(value)[static_cast<std::size_t>(value)]; };
  Json json = {{"kind", word(hyper.kind)}, {"rank", hyper.rank}};
  if (hyper.kind != HyperKind::kGenerated) return json;
  json["hidden"] = hyper.hidden;
  json["embedding"] = hyper.embedding;
  json["process"] = hyper.process;
  json["input"] = hyper.input;
  json["layer_embedding"] = hyper.layer_embedding;
  json["conditioning"] = word(hyper.conditioning);
  json["aggregate"] = word(hyper.aggregate);
  json["gated"] = hyper.gated;
  return json;
}

void add_native_keys(const ModelConfig& model, Json& json) {
  const bool takes_k = model.router.kind == RouterKind::kTopK;
  json["auto_map"] = {{"AutoConfig", "configuration_hetmoe.HetmoeConfig"},
                      {"AutoModelForCausalLM", "modeling_hetmoe.HetmoeForCausalLM"}};
  json["qk_norm"] = model.qk_norm;
  json["expert_widths"] = expert_widths(model.experts);
  json["router_kind"] = takes_k ? "top_k" : "top_p";
  json["num_experts_per_tok"] = takes_k ? model.router.top_k : model.experts.count;
  json["router_top_p"] = model.router.top_p;
  json["norm_topk_prob"] = renormalizes(model.router);
  json["hyper"] = hyper_json(model.hyper);
}

}  // namespace

std::string external_config_json(const ModelConfig& model, ExternalClass external,
                                 const ExternalSettings& settings) {
  Json json = common_json(model, external, settings);
  if (external == ExternalClass::kHetmoe) {
    add_native_keys(model, json);
  } else {
    add_class_keys(model, external, json);
    json["hetmoe"] = {{"layout", "padded"}, {"expert_widths", expert_widths(model.experts)}};
  }
  return json.dump(2) + "\n";
}

std::string generation_config_json(const ExternalSettings& settings) {
  const Json json = {{"bos_token_id", token_json(settings.begin_token)},
                     {"eos_token_id", token_json(settings.end_token)},
                     {"do_sample", false}};
  return json.dump(2) + "\n";
}

}  // namespace hetmoe
