#include "core/model/parameter_specs.h"

#include <numeric>

#include "core/base/check.h"
#include "core/model/hyper_parameters.h"

namespace hetmoe {

int head_block(const ModelConfig& config) { return config.num_layers; }

int hypernetwork_block(const ModelConfig& config) { return config.num_layers + 1; }

std::vector<TensorSpec> dense_tensor_specs(const ModelConfig& config) {
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t query_rows = config.num_heads * head_dim(config);
  const std::int64_t key_rows = config.num_kv_heads * head_dim(config);
  const Initial normal = Initial::normal(config.initializer_range);
  int block = kEmbeddingBlock;
  std::vector<TensorSpec> specs;
  const auto add_matrix = [&](const std::string& name, std::int64_t rows, std::int64_t columns) {
    specs.push_back(
        {.name = name, .rows = rows, .columns = columns, .initial = normal, .block = block});
  };
  const auto add_norm = [&](const std::string& name, std::int64_t size) {
    specs.push_back({.name = name,
                     .rows = size,
                     .is_matrix = false,
                     .initial = Initial::constant(1),
                     .block = block});
  };
  add_matrix("embedding", config.vocab_size, hidden);
  for (int layer = 0; layer < config.num_layers; ++layer) {
    block = layer;
    const std::string prefix = "layers." + std::to_string(layer) + ".";
    add_norm(prefix + "attention_norm", hidden);
    add_matrix(prefix + "attention.query", query_rows, hidden);
    add_matrix(prefix + "attention.key", key_rows, hidden);
    add_matrix(prefix + "attention.value", key_rows, hidden);
    if (config.qk_norm) {
      add_norm(prefix + "attention.query_norm", head_dim(config));
      add_norm(prefix + "attention.key_norm", head_dim(config));
    }
    add_matrix(prefix + "attention.output", hidden, query_rows);
    add_norm(prefix + "experts_norm", hidden);
    add_matrix(prefix + "router", config.experts.count, hidden);
    const auto adapters = adapter_specs(config, layer);
    specs.insert(specs.end(), adapters.begin(), adapters.end());
  }
  block = head_block(config);
  add_norm("final_norm", hidden);
  if (!config.tie_embeddings) add_matrix("head", config.vocab_size, hidden);
  const auto hypernetwork = hypernetwork_specs(config);
  specs.insert(specs.end(), hypernetwork.begin(), hypernetwork.end());
  return specs;
}

Initial initial_of_experts(const ModelConfig& config) {
  return Initial::normal(config.initializer_range);
}

std::string expert_tensor_name(int layer, int expert, ExpertMatrix matrix) {
  static constexpr const char* kNames[] = {"gate", "up", "down"};
  return "layers." + std::to_string(layer) + ".experts." + std::to_string(expert) + "." +
         kNames[static_cast<int>(matrix)];
}

namespace {

std::int64_t dense_parameters(const ModelConfig& config) {
  std::int64_t sum = 0;
  for (const TensorSpec& spec : dense_tensor_specs(config)) sum += spec.elements();
  return sum;
}

std::int64_t total_width(const ModelConfig& config) {
  const auto widths = expert_widths(config.experts);
  return std::accumulate(widths.begin(), widths.end(), std::int64_t{0});
}

}  // namespace

std::int64_t total_parameters(const ModelConfig& config) {
  return dense_parameters(config) +
         config.num_layers * kExpertMatrices * total_width(config) * config.hidden_size;
}

std::int64_t active_parameters(const ModelConfig& config, double selected_width) {
  const double share = selected_width / static_cast<double>(total_width(config));
  const double experts = config.num_layers * kExpertMatrices * selected_width *
                         static_cast<double>(config.hidden_size);
  return dense_parameters(config) +
         static_cast<std::int64_t>(experts - idle_adapter_parameters(config, share));
}

double dense_forward_flops_per_token(const ModelConfig& config, std::int64_t length) {
  const double hidden = static_cast<double>(config.hidden_size);
  const double query_rows = static_cast<double>(config.num_heads * head_dim(config));
  const double key_rows = static_cast<double>(config.num_kv_heads * head_dim(config));
  const double projections = 2.0 * hidden * (2.0 * query_rows + 2.0 * key_rows);
  const double seen = (static_cast<double>(length) + 1.0) / 2.0;
  const double scores = 2.0 * 2.0 * seen * query_rows;
  const double router = 2.0 * hidden * config.experts.count;
  const double hyper = hyper_forward_flops_per_token(config);
  return config.num_layers * (projections + scores + router + hyper) +
         2.0 * hidden * static_cast<double>(config.vocab_size);
}

double expert_forward_flops(const ModelConfig& config, double width) {
  return 2.0 * kExpertMatrices * width * static_cast<double>(config.hidden_size);
}

}  // namespace hetmoe
