#include "runtime/config_difference.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include "core/base/check.h"
#include "core/config/field.h"
#include "core/config/value_text.h"

namespace hetmoe {
namespace {

/// Keys, or sections with the point at their end.
constexpr auto kMayChange = std::to_array<std::string_view>({
    "train.steps",
    "train.learning_rate",
    "train.warmup_steps",
    "train.schedule",
    "train.min_learning_rate_ratio",
    "train.source_weights",
    "train.recompute",
    "train.max_skipped_in_row",
    "train.first_collective_seconds",
    "train.collective_seconds",
    "evaluate.",
    "parallel.",
    "placement.",
    "checkpoint.",
    "coordinator.",
    "metrics.",
    "topology.",
});

/// Of model: what only training asks of it.
constexpr auto kTrainsOnly = std::to_array<std::string_view>({
    "model.initializer_range",
    "model.router.allow_untrained",
    "model.router.forced",
    "model.router.parameter_penalty",
    "model.router.load_balance",
    "model.router.entropy",
    "model.router.penalty_form",
    "model.hyper.memory_limit",
});

/// Of model: what weights are used for.
constexpr auto kMeaning = std::to_array<std::string_view>({
    "model.rope_theta",
    "model.norm_epsilon",
    "model.router.",
});

template <std::size_t kCount>
bool is_among(const std::array<std::string_view, kCount>& keys, std::string_view key) {
  return std::any_of(keys.begin(), keys.end(), [key](std::string_view listed) {
    return listed.back() == '.' ? key.starts_with(listed) : key == listed;
  });
}

/// The keys that differ, but for those that `may_differ` is true for. Fields point at members that
/// may be written, hence the copies.
template <typename Predicate>
std::vector<ConfigDifference> differences(RunConfig saved, RunConfig now,
                                          const Predicate& may_differ) {
  const std::vector<Field> saved_fields = list_fields(saved);
  const std::vector<Field> now_fields = list_fields(now);
  HETMOE_CHECK(saved_fields.size() == now_fields.size(), "the listing depends on values");
  std::vector<ConfigDifference> found;
  for (std::size_t i = 0; i < now_fields.size(); ++i) {
    const std::string& key = now_fields[i].key;
    if (may_differ(key)) continue;
    std::string before = yaml_text(saved_fields[i].value);
    std::string after = yaml_text(now_fields[i].value);
    if (before != after) found.push_back({key, std::move(before), std::move(after)});
  }
  return found;
}

/// Different keys that make the same model become the same.
RunConfig with_plain_model(RunConfig config) {
  ModelConfig& model = config.model;
  model.head_dim = head_dim(model);
  ExpertsConfig experts;
  experts.widths = expert_widths(model.experts);
  experts.count = model.experts.count;
  model.experts = std::move(experts);
  if (!model.hyper.enabled) model.hyper = {};
  RouterConfig& router = model.router;
  router.renormalize = renormalizes(router) ? Renormalize::kTrue : Renormalize::kFalse;
  if (router.kind == RouterKind::kTopK) router.top_p = RouterConfig().top_p;
  if (router.kind == RouterKind::kTopP) router.top_k = RouterConfig().top_k;
  return config;
}

}  // namespace

std::string ConfigDifference::text() const {
  return key + ": " + saved + " in the checkpoint, " + now + " here";
}

std::vector<ConfigDifference> forbidden_differences(const RunConfig& saved, const RunConfig& now) {
  RunConfig now_resolved = now;
  if (now.train.precision == Precision::kAuto) now_resolved.train.precision = saved.train.precision;
  return differences(saved, std::move(now_resolved),
                     [](const std::string& key) { return is_among(kMayChange, key); });
}

ModelDifferences model_differences(const RunConfig& saved, const RunConfig& now) {
  ModelDifferences found;
  const auto is_free = [](const std::string& key) {
    return !key.starts_with("model.") || is_among(kTrainsOnly, key);
  };
  for (ConfigDifference& difference :
       differences(with_plain_model(saved), with_plain_model(now), is_free)) {
    auto& list = is_among(kMeaning, difference.key) ? found.meaning : found.shape;
    list.push_back(std::move(difference));
  }
  return found;
}

}  // namespace hetmoe
