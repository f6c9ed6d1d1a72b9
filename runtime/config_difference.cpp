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

bool may_change(std::string_view key) {
  return std::any_of(kMayChange.begin(), kMayChange.end(), [key](std::string_view allowed) {
    return allowed.back() == '.' ? key.starts_with(allowed) : key == allowed;
  });
}

}  // namespace

std::string ConfigDifference::text() const {
  return key + ": " + saved + " in the checkpoint, " + now + " here";
}

std::vector<ConfigDifference> forbidden_differences(const RunConfig& saved, const RunConfig& now) {
  RunConfig saved_copy = saved;  // fields point at members that may be written
  RunConfig now_copy = now;
  if (now.train.precision == Precision::kAuto) now_copy.train.precision = saved.train.precision;
  const std::vector<Field> saved_fields = list_fields(saved_copy);
  const std::vector<Field> now_fields = list_fields(now_copy);
  HETMOE_CHECK(saved_fields.size() == now_fields.size(), "the listing depends on values");
  std::vector<ConfigDifference> differences;
  for (std::size_t i = 0; i < now_fields.size(); ++i) {
    const std::string& key = now_fields[i].key;
    if (may_change(key)) continue;
    std::string before = yaml_text(saved_fields[i].value);
    std::string after = yaml_text(now_fields[i].value);
    if (before != after) differences.push_back({key, std::move(before), std::move(after)});
  }
  return differences;
}

}  // namespace hetmoe
