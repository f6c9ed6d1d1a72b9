#include "core/config/allowed.h"

#include <algorithm>
#include <utility>

#include "core/config/value_text.h"

namespace hetmoe {
namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

bool contains(const std::vector<std::string>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::string range_text(const Allowed& allowed, const std::optional<double>& maximum) {
  if (!allowed.minimum) return maximum ? "<= " + number_text(*maximum) : "";
  const std::string minimum = number_text(*allowed.minimum);
  if (!maximum) return (allowed.minimum_excluded ? "> " : ">= ") + minimum;
  if (allowed.minimum_excluded) return "> " + minimum + " and <= " + number_text(*maximum);
  return minimum + ".." + number_text(*maximum);
}

}  // namespace

std::string Allowed::describe() const {
  if (words.empty()) return range_text(*this, maximum);
  if (file_ending.empty()) return joined(words);
  return joined(words) + " or a file *" + file_ending;
}

bool Allowed::accepts_number(double value) const {
  if (minimum && (minimum_excluded ? value <= *minimum : value < *minimum)) return false;
  if (guard && value > *guard) return false;
  return !maximum || value <= *maximum;
}

bool Allowed::accepts_text(const std::string& value) const {
  if (words.empty() || contains(words, value)) return true;
  return !file_ending.empty() && value.size() > file_ending.size() && value.ends_with(file_ending);
}

std::string Allowed::refusal_of_number(double value) const {
  const bool beyond_guard = guard && value > *guard;
  return "allowed: " + (beyond_guard ? range_text(*this, guard) : describe());
}

Allowed at_least(double minimum, double guard) {
  Allowed allowed;
  allowed.minimum = minimum;
  allowed.guard = guard;
  return allowed;
}

Allowed between(double minimum, double maximum) {
  Allowed allowed;
  allowed.minimum = minimum;
  allowed.maximum = maximum;
  return allowed;
}

Allowed above_up_to(double minimum, double maximum) {
  Allowed allowed = between(minimum, maximum);
  allowed.minimum_excluded = true;
  return allowed;
}

Allowed one_of(std::vector<std::string> words) {
  Allowed allowed;
  allowed.words = std::move(words);
  return allowed;
}

Allowed one_of_or_file(std::vector<std::string> words, std::string file_ending) {
  Allowed allowed = one_of(std::move(words));
  allowed.file_ending = std::move(file_ending);
  return allowed;
}

}  // namespace hetmoe
