#include "core/config/printer.h"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <variant>

#include "core/config/value_text.h"

namespace hetmoe {
namespace {

constexpr std::size_t kColumns = 96;

/// Texts hold spaces of their own, which folding lines would change.
bool is_list_of_numbers(const Field& field) {
  return std::holds_alternative<std::vector<std::int64_t>*>(field.value) ||
         std::holds_alternative<std::vector<double>*>(field.value);
}

std::vector<std::string> split(const std::string& key) {
  std::vector<std::string> words;
  std::size_t begin = 0;
  for (std::size_t end = key.find('.'); end != std::string::npos; end = key.find('.', begin)) {
    words.push_back(key.substr(begin, end - begin));
    begin = end + 1;
  }
  words.push_back(key.substr(begin));
  return words;
}

/// Opens the sections of a key that the previous one was not in. Gives the indent of the key.
std::string open_sections(const std::vector<std::string>& previous,
                          const std::vector<std::string>& words, std::string& text) {
  std::size_t common = 0;
  while (common + 1 < previous.size() && common + 1 < words.size() &&
         previous[common] == words[common]) {
    ++common;
  }
  for (; common + 1 < words.size(); ++common) {
    text += std::string(2 * common, ' ') + words[common] + ":\n";
  }
  return std::string(2 * common, ' ');
}

std::string wrapped(std::string_view text, const std::string& indent) {
  std::string out;
  std::string line;
  while (!text.empty()) {
    const auto space = text.find(' ');
    const std::string word(text.substr(0, space));
    text.remove_prefix(space == std::string_view::npos ? text.size() : space + 1);
    if (!line.empty() && indent.size() + line.size() + 1 + word.size() > kColumns) {
      out += indent + line + "\n";
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
  }
  return out + indent + line + "\n";
}

}  // namespace

std::string yaml_document(const std::vector<Field>& fields) {
  std::string text;
  std::vector<std::string> previous;
  for (const auto& field : fields) {
    const auto words = split(field.key);
    const std::string indent = open_sections(previous, words, text);
    const std::string line = words.back() + ": " + yaml_text(field.value);
    text += is_list_of_numbers(field) && indent.size() + line.size() > kColumns
                ? indent + words.back() + ":\n" + wrapped(yaml_text(field.value), indent + "  ")
                : indent + line + "\n";
    previous = words;
  }
  return text;
}

std::string reference_text(const std::vector<Field>& fields) {
  std::string text;
  std::vector<std::string> previous;
  for (const auto& field : fields) {
    const auto words = split(field.key);
    const std::string indent = open_sections(previous, words, text);
    const std::string range = field.allowed.describe();
    text += indent + words.back() + ": " + yaml_text(field.value) + "  # " +
            type_text(field.value) + (field.unit.empty() ? "" : ", " + field.unit) +
            (range.empty() ? "" : ", " + range) + "\n" + wrapped(field.help, indent + "    # ");
    previous = words;
  }
  return text;
}

}  // namespace hetmoe
