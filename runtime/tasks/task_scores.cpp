#include "runtime/tasks/task_scores.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/check.h"
#include "runtime/tasks/python_text.h"

namespace hetmoe {
namespace {

Accuracy accuracy_of(std::int64_t right, std::int64_t items) {
  const double n = static_cast<double>(items);
  Accuracy accuracy{.mean = static_cast<double>(right) / n};
  // Of values 0 and 1 with the sample's deviation, which divides by n - 1.
  if (items > 1) {
    accuracy.standard_error = std::sqrt(accuracy.mean * (1 - accuracy.mean) / (n - 1));
  }
  return accuracy;
}

/// Whether the largest of log_likelihoods[i] / length(choice i), of equal ones the first, is the
/// answer. An empty text comes last, as a negative number over 0 does.
template <typename Length>
bool is_right(const TaskItem& item, std::span<const double> log_likelihoods, Length length) {
  std::vector<double> values;
  for (std::size_t i = 0; i < item.choices.size(); ++i) {
    values.push_back(log_likelihoods[i] / static_cast<double>(length(item.choices[i].text)));
  }
  return std::ranges::max_element(values) - values.begin() == item.answer;
}

}  // namespace

TaskScore score(const Task& task, std::span<const double> log_likelihoods) {
  std::int64_t plain = 0;
  std::int64_t per_character = 0;
  std::int64_t per_byte = 0;
  for (const TaskItem& item : task.items) {
    HETMOE_CHECK(log_likelihoods.size() >= item.choices.size(), "line ", item.line);
    const auto mine = log_likelihoods.first(item.choices.size());
    log_likelihoods = log_likelihoods.subspan(item.choices.size());
    plain += is_right(item, mine, [](const std::string&) { return 1; });
    per_character += is_right(item, mine, character_count);
    per_byte += is_right(item, mine, [](const std::string& text) { return text.size(); });
  }
  HETMOE_CHECK(log_likelihoods.empty(), log_likelihoods.size(), " too many");
  const auto items = static_cast<std::int64_t>(task.items.size());
  return {accuracy_of(plain, items), accuracy_of(per_character, items),
          accuracy_of(per_byte, items)};
}

}  // namespace hetmoe
