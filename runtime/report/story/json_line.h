#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hetmoe {

/// A line that holds one JSON object, read without trust: what is absent, of another type or out of
/// all proportion is not a number, or empty.
class JsonLine {
 public:
  /// Nothing when the text is no whole object.
  static std::optional<JsonLine> parse(std::string_view text);

  bool has(const char* name) const;
  /// NaN also for what exceeds 1e100: sums and products of what is read must stay finite.
  double number(const char* name) const;
  double number(const char* section, const char* name) const;
  /// `fallback` also outside of [0, 10^15].
  std::int64_t integer(const char* name, std::int64_t fallback) const;
  std::string text(const char* name) const;
  /// Empty when one element is no number, or there are more than `most`.
  std::vector<double> numbers(const char* name, std::size_t most) const;
  /// Of members other than time, generation, step, rank and event: "reason rank 3 is gone; code 4",
  /// shortened.
  std::string details() const;

  /// Every number in it with its dotted name ("phase_seconds.expert", "expert_tokens.3") as
  /// JSON writes it; true and false as 1 and 0; null and texts are left out, as are names that hold
  /// anything but letters, digits and underscores.
  std::vector<std::pair<std::string, std::string>> flat_numbers() const;

 private:
  struct Content;
  std::shared_ptr<const Content> content_;
};

}  // namespace hetmoe
