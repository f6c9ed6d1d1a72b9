#include "runtime/run_config_rules.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "core/config/value_text.h"

namespace hetmoe {
namespace {

class Rules {
 public:
  /// Adds the fault unless `holds`.
  void require(bool holds, std::string key, std::string message,
               std::vector<std::string> also = {}) {
    if (!holds) faults_.push_back({std::move(key), std::move(message), std::move(also)});
  }
  std::vector<ConfigFault> take() { return std::move(faults_); }

 private:
  std::vector<ConfigFault> faults_;
};

template <typename Number>
std::string value(Number number) {
  return "value " + std::to_string(number);
}

void check_attention(const ModelConfig& model, Rules& rules) {
  const std::int64_t heads = model.num_heads;
  if (model.num_heads < 1 || model.num_kv_heads < 1) return;  // a fault by itself
  const bool divides = model.head_dim != 0 || model.hidden_size % heads == 0;
  rules.require(divides, "model.num_heads",
                value(heads) + ", allowed: a divisor of model.hidden_size " +
                    std::to_string(model.hidden_size) + " (or set model.head_dim)",
                {"model.hidden_size", "model.head_dim"});
  rules.require(heads % model.num_kv_heads == 0, "model.num_kv_heads",
                value(model.num_kv_heads) + ", allowed: a divisor of model.num_heads " +
                    std::to_string(heads),
                {"model.num_heads"});
  const std::int64_t width = head_dim(model);
  rules.require(!divides || width % 2 == 0, "model.head_dim",
                value(width) + (model.head_dim == 0 ? " (hidden_size / num_heads)" : "") +
                    ", allowed: an even number, rotary positions turn pairs",
                {"model.hidden_size", "model.num_heads"});
}

void check_experts(const ModelConfig& model, Rules& rules) {
  const ExpertsConfig& experts = model.experts;
  if (!experts.widths.empty()) {
    const auto listed = static_cast<int>(experts.widths.size());
    rules.require(experts.count == listed, "model.experts.count",
                  value(experts.count) + ", allowed: " + std::to_string(listed) +
                      ", the number of model.experts.widths",
                  {"model.experts.widths"});
    return;
  }
  // A fault by itself; widths of a billion experts would not fit into memory.
  if (experts.count > kMostExperts || experts.mean_width > kMostExpertWidth) return;
  try {
    expert_widths(experts);
  } catch (const ConfigError&) {
    rules.require(false, "model.experts.mean_width",
                  value(experts.mean_width) + ", allowed: enough for " +
                      std::to_string(experts.count) +
                      " experts of this shape to have a hidden unit each",
                  {"model.experts.count", "model.experts.shape", "model.experts.ratio"});
  }
}

void check_router(const ModelConfig& model, Rules& rules) {
  const RouterConfig& router = model.router;
  rules.require(router.penalty_form == PenaltyForm::kPaper || router.kind == RouterKind::kTopK,
                "model.router.penalty_form",
                "value released_code, allowed: paper with model.router.kind top_p (the released "
                "code has no Top-P)",
                {"model.router.kind"});
  rules.require(router.forced == "none" || router.kind == RouterKind::kTopK, "model.router.forced",
                "value " + router.forced +
                    ", allowed: none with model.router.kind top_p (a workload chooses top_k "
                    "experts)",
                {"model.router.kind"});
  if (router.kind != RouterKind::kTopK) return;
  rules.require(router.top_k <= model.experts.count, "model.router.top_k",
                value(router.top_k) + ", allowed: at most model.experts.count " +
                    std::to_string(model.experts.count),
                {"model.experts.count"});
  const bool learns = router.top_k > 1 || !renormalizes(router) || router.allow_untrained;
  rules.require(learns, "model.router.renormalize",
                "value true, allowed: false or auto with model.router.top_k 1, where the router "
                "would learn nothing (or set model.router.allow_untrained)",
                {"model.router.top_k", "model.router.allow_untrained"});
}

/// What shapes the generation says nothing about a free adapter.
void check_hyper(const ModelConfig& model, Rules& rules) {
  const HyperConfig& hyper = model.hyper;
  if (!hyper.enabled || hyper.kind == HyperKind::kGenerated) return;
  const HyperConfig plain;
  const auto require_default = [&](bool is_default, const char* key, const char* allowed) {
    rules.require(is_default, key,
                  std::string("set, allowed: ") + allowed + " unless model.hyper.kind is generated",
                  {"model.hyper.kind"});
  };
  require_default(hyper.conditioning == plain.conditioning, "model.hyper.conditioning",
                  "unselected");
  require_default(hyper.aggregate == plain.aggregate, "model.hyper.aggregate", "sum");
  require_default(hyper.gated == plain.gated, "model.hyper.gated", "false");
}

/// The first entry that cannot be a source, and why; empty: none.
std::string faulty_source(const std::vector<std::string>& mixture) {
  for (std::size_t i = 0; i < mixture.size(); ++i) {
    const std::string entry = "entry " + std::to_string(i) + " is " + printable(mixture[i]);
    if (mixture[i].empty() || mixture[i] == "random") return entry + ", allowed: a token shard";
    const auto first = std::find(mixture.begin(), mixture.end(), mixture[i]) - mixture.begin();
    if (first != static_cast<std::ptrdiff_t>(i)) {
      return entry + ", as entry " + std::to_string(first) + " is, allowed: each source once";
    }
  }
  return "";
}

void check_data(const DataConfig& data, Rules& rules) {
  const std::size_t sources = data.mixture.size();
  rules.require(!data.train.empty() || sources > 0, "data.train",
                "value \"\", allowed: a token shard, or random (or set data.mixture)",
                {"data.mixture"});
  rules.require(data.train.empty() || sources == 0, "data.mixture",
                std::to_string(sources) + " sources, allowed: none with data.train " +
                    printable(data.train) + " (set it to \"\")",
                {"data.train"});
  const std::string fault = faulty_source(data.mixture);
  rules.require(fault.empty(), "data.mixture", fault);
  rules.require(data.mixture_weights.size() == sources, "data.mixture_weights",
                std::to_string(data.mixture_weights.size()) + " numbers, allowed: " +
                    std::to_string(sources) + ", one for each source of data.mixture",
                {"data.mixture"});
}

void check_training(const RunConfig& config, Rules& rules) {
  const TrainConfig& train = config.train;
  rules.require(train.microbatches < 1 || train.global_batch % train.microbatches == 0,
                "train.microbatches",
                value(train.microbatches) + ", allowed: a divisor of train.global_batch " +
                    std::to_string(train.global_batch),
                {"train.global_batch"});
  const auto& weights = train.source_weights;
  rules.require(weights.empty() || std::ranges::any_of(weights, [](auto w) { return w > 0; }),
                "train.source_weights", "all 0, allowed: at least one above 0");
}

void check_evaluation(const RunConfig& config, Rules& rules) {
  const EvaluateConfig& evaluate = config.evaluate;
  if (evaluate.every_steps == 0) return;
  rules.require(!config.data.valid.empty(), "evaluate.every_steps",
                value(evaluate.every_steps) + ", allowed: 0 without data.valid", {"data.valid"});
  rules.require(evaluate.tokens >= config.train.sequence_length, "evaluate.tokens",
                value(evaluate.tokens) + ", allowed: at least train.sequence_length " +
                    std::to_string(config.train.sequence_length),
                {"train.sequence_length"});
}

void check_coordinator(const CoordinatorConfig& config, Rules& rules) {
  rules.require(config.address.empty() || config.listen.empty(), "coordinator.listen",
                "value " + config.listen + ", allowed: \"\" with coordinator.address",
                {"coordinator.address"});
  rules.require(config.credentials.empty() || !config.address.empty(), "coordinator.credentials",
                "value " + config.credentials + ", allowed: \"\" without coordinator.address",
                {"coordinator.address"});
  const int given = (config.certificate.empty() ? 0 : 1) + (config.private_key.empty() ? 0 : 1) +
                    (config.client_authority.empty() ? 0 : 1);
  rules.require(given == 0 || given == 3, "coordinator.certificate",
                "value \"" + config.certificate +
                    "\", allowed: all three of certificate, private_key and client_authority, or "
                    "none",
                {"coordinator.private_key", "coordinator.client_authority"});
}

}  // namespace

std::vector<ConfigFault> contradictions(const RunConfig& config) {
  Rules rules;
  check_attention(config.model, rules);
  check_experts(config.model, rules);
  check_router(config.model, rules);
  check_hyper(config.model, rules);
  check_data(config.data, rules);
  check_training(config, rules);
  check_evaluation(config, rules);
  check_coordinator(config.coordinator, rules);
  return rules.take();
}

}  // namespace hetmoe
