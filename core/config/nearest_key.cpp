#include "core/config/nearest_key.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string_view>
#include <utility>

namespace hetmoe {
namespace {

constexpr std::size_t kLongestKey = 64;  // bounds the work on hostile keys

/// Levenshtein distance.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

std::string_view last_word(std::string_view key) { return key.substr(key.rfind('.') + 1); }

/// With the point at its end; empty for a key of the top level.
std::string_view section_of(std::string_view key) { return key.substr(0, key.rfind('.') + 1); }

/// Words that may stand directly in a section: its keys and its sections.
std::vector<std::string> words_of(std::string_view section, const std::vector<Field>& fields) {
  std::vector<std::string> words;
  for (const auto& field : fields) {
    if (!std::string_view(field.key).starts_with(section)) continue;
    const std::string rest = field.key.substr(section.size());
    const std::string word = rest.substr(0, rest.find('.'));
    if (words.empty() || words.back() != word) words.push_back(word);
  }
  return words;
}

}  // namespace

std::string known_keys_hint(const std::string& unknown_key, const std::vector<Field>& fields) {
  const std::string_view section = section_of(unknown_key);
  const std::string_view word = last_word(unknown_key);
  const auto words = words_of(section, fields);

  const std::string* nearest = nullptr;
  std::size_t least = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const auto& known : words) {
    if (word.size() > kLongestKey) break;
    const std::size_t distance = edit_distance(word, known);
    if (distance < least && distance < word.size()) {
      least = distance;
      nearest = &known;
    }
  }
  if (nearest && least <= 1) return ", nearest: " + std::string(section) + *nearest;
  for (const auto& field : fields) {
    if (last_word(field.key) == word) return ", nearest: " + field.key;
  }
  if (nearest) return ", nearest: " + std::string(section) + *nearest;
  std::string list;
  for (const auto& known : words) list += (list.empty() ? "" : ", ") + known;
  return list.empty() ? "" : ", allowed: " + list;
}

}  // namespace hetmoe
