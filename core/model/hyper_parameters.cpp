#include "core/model/hyper_parameters.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

namespace hetmoe {
namespace {

/// Hyperfan-in of Hyperdecoders (arXiv 2203.08304), as HyperMoE scales it.
constexpr double kHeadScale = 1e-3;

Initial fan_in_uniform(std::int64_t fan_in) {
  return Initial::uniform(1.0 / std::sqrt(static_cast<double>(fan_in)));
}

class SpecList {
 public:
  explicit SpecList(int block) : block_(block) {}

  void matrix(std::string name, std::int64_t rows, std::int64_t columns, Initial initial) {
    specs_.push_back({.name = std::move(name),
                      .rows = rows,
                      .columns = columns,
                      .initial = initial,
                      .block = block_});
  }
  void vector(std::string name, std::int64_t size, Initial initial) {
    specs_.push_back({.name = std::move(name),
                      .rows = size,
                      .is_matrix = false,
                      .initial = initial,
                      .block = block_});
  }
  void linear(const std::string& name, std::int64_t in, std::int64_t out) {
    matrix(name + ".weight", out, in, fan_in_uniform(in));
    vector(name + ".bias", out, fan_in_uniform(in));
  }
  /// fan: inputs of the weight that the head makes, 1 for a bias.
  void head(const std::string& name, std::int64_t in, std::int64_t out, std::int64_t fan) {
    const double bound = kHeadScale * std::sqrt(3.0 / static_cast<double>(in * fan));
    matrix(name + ".weight", out, in, Initial::uniform(bound));
    vector(name + ".bias", out, Initial::constant(0));
  }
  std::vector<TensorSpec> take() { return std::move(specs_); }

 private:
  int block_;
  std::vector<TensorSpec> specs_;
};

std::string prefix_of(int layer) { return "layers." + std::to_string(layer) + ".hyper."; }

}  // namespace

bool has_hypernetwork(const ModelConfig& config) {
  return config.hyper.enabled && config.hyper.kind == HyperKind::kGenerated;
}

std::vector<TensorSpec> hypernetwork_specs(const ModelConfig& config) {
  if (!has_hypernetwork(config)) return {};
  const HyperConfig& hyper = config.hyper;
  const std::int64_t hidden_size = config.hidden_size;
  SpecList specs(hypernetwork_block(config));
  for (int layer = 0; layer < config.num_layers; ++layer) {
    const std::string prefix = prefix_of(layer);
    specs.matrix(prefix + "embedding", config.experts.count, hyper.embedding, Initial::normal(1));
    specs.linear(prefix + "process", hyper.embedding, hyper.process);
    specs.linear(prefix + "project", hyper.process, hyper.input);
  }
  specs.matrix("hypernetwork.layer_embedding", config.num_layers, hyper.layer_embedding,
               Initial::normal(1));
  specs.linear("hypernetwork.hidden", hyper.input + hyper.layer_embedding, hyper.hidden);
  specs.head("hypernetwork.down", hyper.hidden, hidden_size * hyper.rank, hidden_size);
  specs.head("hypernetwork.up", hyper.hidden, hyper.rank * hidden_size, hyper.rank);
  specs.head("hypernetwork.down_bias", hyper.hidden, hyper.rank, 1);
  specs.head("hypernetwork.up_bias", hyper.hidden, hidden_size, 1);
  return specs.take();
}

std::int64_t num_adapters(const HyperConfig& hyper, int num_experts) {
  return hyper.kind == HyperKind::kExpertAdapters ? num_experts : 1;
}

std::vector<TensorSpec> adapter_specs(const ModelConfig& config, int layer) {
  if (!config.hyper.enabled || has_hypernetwork(config)) return {};
  const std::int64_t adapters = num_adapters(config.hyper, config.experts.count);
  const std::int64_t rank = config.hyper.rank;
  const std::string prefix = prefix_of(layer);
  SpecList specs(layer);
  specs.matrix(prefix + "down", adapters * config.hidden_size, rank,
               fan_in_uniform(config.hidden_size));
  specs.matrix(prefix + "up", adapters * rank, config.hidden_size, Initial::constant(0));
  specs.vector(prefix + "down_bias", adapters * rank, Initial::constant(0));
  specs.vector(prefix + "up_bias", adapters * config.hidden_size, Initial::constant(0));
  return specs.take();
}

double idle_adapter_parameters(const ModelConfig& config, double selected_share) {
  if (!config.hyper.enabled || config.hyper.kind != HyperKind::kExpertAdapters) return 0;
  double all = 0;
  for (const TensorSpec& spec : adapter_specs(config, 0)) {
    all += static_cast<double>(spec.elements());
  }
  return config.num_layers * all * (1 - selected_share);
}

std::int64_t number_of_sets(int num_experts, int size) {
  if (size > num_experts) return 0;
  const int chosen = std::min(size, num_experts - size);
  std::int64_t number = 1;
  for (int i = 1; i <= chosen; ++i) {
    // number * (n - k + i) is divisible by i at every step.
    const std::int64_t factor = num_experts - chosen + i;
    if (number > std::numeric_limits<std::int64_t>::max() / factor) {
      return std::numeric_limits<std::int64_t>::max();
    }
    number = number * factor / i;
  }
  return number;
}

std::int64_t generated_values(const ModelConfig& config) {
  const std::int64_t rank = config.hyper.rank;
  return 2 * config.hidden_size * rank + config.hidden_size + rank;
}

double generated_bytes(const ModelConfig& config, double sets, double value_bytes) {
  return config.num_layers * sets * static_cast<double>(generated_values(config)) *
         (value_bytes + 4);
}

double most_generated_sets(const ModelConfig& config, double value_bytes, double tokens) {
  if (!has_hypernetwork(config)) return 0;
  const RouterConfig& router = config.router;
  const bool counts = router.kind == RouterKind::kTopK;
  const double possible =
      counts ? static_cast<double>(number_of_sets(config.experts.count, router.top_k)) : tokens;
  const double sets = std::min(possible, tokens / 2);
  const auto limit = static_cast<double>(config.hyper.memory_limit);
  return limit > 0 && generated_bytes(config, sets, value_bytes) > limit ? 0 : sets;
}

double hyper_forward_flops_per_token(const ModelConfig& config) {
  if (!config.hyper.enabled) return 0;
  const bool repeats =
      config.hyper.kind == HyperKind::kExpertAdapters && config.router.kind == RouterKind::kTopK;
  const double applied = repeats ? config.router.top_k : 1;
  return applied * 2.0 * 2.0 * static_cast<double>(config.hidden_size) * config.hyper.rank;
}

}  // namespace hetmoe
