#include "core/config/value_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/check.h"

namespace hetmoe {
namespace {

using Refusal = std::optional<std::string>;

constexpr std::size_t kMostIntegers = 1024;
constexpr std::size_t kMostNumbers = 4096;  // tables of measured figures
constexpr std::size_t kMostTexts = 1024;
constexpr std::size_t kLongestText = 4096;
constexpr std::size_t kLongestShown = 60;

/// The whole text must be the number. Quoted numbers are texts.
template <typename Number>
std::errc parse_number(const ConfigNode& node, Number& number) {
  if (node.kind != ConfigNode::Kind::kText || node.quoted) return std::errc::invalid_argument;
  const char* begin = node.text.data();
  const char* end = begin + node.text.size();
  Number parsed{};
  const auto [stopped, error] = std::from_chars(begin, end, parsed);
  if (error != std::errc()) return error;
  if (stopped != end) return std::errc::invalid_argument;
  if constexpr (std::is_floating_point_v<Number>) {
    if (!std::isfinite(parsed)) return std::errc::invalid_argument;
  }
  number = parsed;
  return {};
}

struct Assign {
  const ConfigNode& node;

  bool is_text() const { return node.kind == ConfigNode::Kind::kText; }

  Refusal operator()(bool* field) const {
    if (!is_text() || node.quoted || (node.text != "true" && node.text != "false")) {
      return "true or false";
    }
    *field = node.text == "true";
    return {};
  }

  template <typename Integer>
  requires std::is_integral_v<Integer> Refusal operator()(Integer* field) const {
    const std::errc error = parse_number(node, *field);
    if (error == std::errc()) return {};
    if (std::is_unsigned_v<Integer>) return "an integer from 0 to 2^64 - 1";
    if (error != std::errc::result_out_of_range) return "an integer";
    return "an integer of " + std::to_string(8 * sizeof(Integer)) + " bits";
  }

  Refusal operator()(double* field) const {
    if (parse_number(node, *field) != std::errc()) return "a finite number";
    return {};
  }

  Refusal operator()(std::string* field) const {
    if (!is_text()) return "a text (\"\" for none)";
    if (node.text.size() > kLongestText) {
      return "a text of at most " + std::to_string(kLongestText) + " bytes";
    }
    *field = node.text;
    return {};
  }

  Refusal operator()(std::vector<std::int64_t>* field) const {
    return assign_list(field, kMostIntegers, "integers");
  }
  Refusal operator()(std::vector<double>* field) const {
    return assign_list(field, kMostNumbers, "finite numbers");
  }

  Refusal operator()(std::vector<std::string>* field) const {
    if (node.kind != ConfigNode::Kind::kList || node.children.size() > kMostTexts) {
      return "a list of at most " + std::to_string(kMostTexts) + " texts";
    }
    std::vector<std::string> texts(node.children.size());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (Assign{node.children[i]}(&texts[i])) {
        return "a list of texts of at most " + std::to_string(kLongestText) + " bytes each";
      }
    }
    *field = std::move(texts);
    return {};
  }

  Refusal operator()(const EnumReference& field) const {
    const auto word = std::find(field.words.begin(), field.words.end(), node.text);
    if (!is_text() || word == field.words.end()) return type_text(field);
    field.set(field.target, static_cast<int>(word - field.words.begin()));
    return {};
  }

  template <typename Number>
  Refusal assign_list(std::vector<Number>* field, std::size_t most, const char* items) const {
    if (node.kind != ConfigNode::Kind::kList || node.children.size() > most) {
      return "a list of at most " + std::to_string(most) + " " + items;
    }
    std::vector<Number> numbers(node.children.size());
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      if (parse_number(node.children[i], numbers[i]) != std::errc()) {
        return std::string("a list of ") + items;
      }
    }
    *field = std::move(numbers);
    return {};
  }
};

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (byte < 0x20 || byte == 0x7F) {
      std::array<char, 8> hex{};
      std::snprintf(hex.data(), hex.size(), "\\x%02x", byte);
      out += hex.data();
    } else {
      out += c;
    }
  }
  return out + "\"";
}

struct YamlText {
  std::string operator()(const bool* field) const { return *field ? "true" : "false"; }

  template <typename Integer>
  requires std::is_integral_v<Integer> std::string operator()(const Integer* field) const {
    return std::to_string(*field);
  }

  std::string operator()(const double* field) const { return number_text(*field); }
  std::string operator()(const std::string* field) const { return quoted(*field); }

  std::string operator()(const std::vector<std::int64_t>* field) const {
    std::string text;
    for (const auto number : *field) text += (text.empty() ? "" : ", ") + std::to_string(number);
    return "[" + text + "]";
  }

  std::string operator()(const std::vector<double>* field) const {
    std::string text;
    for (const auto number : *field) text += (text.empty() ? "" : ", ") + number_text(number);
    return "[" + text + "]";
  }

  std::string operator()(const std::vector<std::string>* field) const {
    std::string text;
    for (const auto& entry : *field) text += (text.empty() ? "" : ", ") + quoted(entry);
    return "[" + text + "]";
  }

  std::string operator()(const EnumReference& field) const {
    const auto index = static_cast<std::size_t>(field.get(field.target));
    HETMOE_CHECK(index < field.words.size(), "enumerator ", index, " has no word");
    return field.words[index];
  }
};

struct TypeText {
  std::string operator()(const bool*) const { return "true or false"; }
  template <typename Integer>
  requires std::is_integral_v<Integer> std::string operator()(const Integer*) const {
    return "integer";
  }
  std::string operator()(const double*) const { return "number"; }
  std::string operator()(const std::string*) const { return "text"; }
  std::string operator()(const std::vector<std::int64_t>*) const { return "list of integers"; }
  std::string operator()(const std::vector<double>*) const { return "list of numbers"; }
  std::string operator()(const std::vector<std::string>*) const { return "list of texts"; }
  std::string operator()(const EnumReference& field) const {
    std::string text;
    for (const auto& word : field.words) text += (text.empty() ? "" : ", ") + word;
    return text;
  }
};

}  // namespace

std::string number_text(double value) {
  std::array<char, 32> text{};
  const bool whole = std::abs(value) < 1e15 && value == std::floor(value);
  const auto [end, error] =
      whole ? std::to_chars(text.data(), text.data() + text.size(), static_cast<long long>(value))
            : std::to_chars(text.data(), text.data() + text.size(), value);
  HETMOE_CHECK(error == std::errc(), "a number does not fit ", text.size(), " characters");
  return {text.data(), end};
}

std::string printable(std::string_view value) {
  if (value.empty()) return "\"\"";
  std::string text;
  for (const char c : value.substr(0, kLongestShown)) {
    const auto byte = static_cast<unsigned char>(c);
    text += byte < 0x20 || byte == 0x7F ? '?' : c;
  }
  if (value.size() <= kLongestShown) return text;
  // Not in the middle of a UTF-8 character.
  while (!text.empty() && (static_cast<unsigned char>(value[text.size()]) & 0xC0U) == 0x80) {
    text.pop_back();
  }
  return text + "...";
}

namespace {

std::string describe_list(const ConfigNode& list) {
  std::string text;
  for (const auto& item : list.children) {
    if (text.size() > kLongestShown) break;
    text += (text.empty() ? "[" : ", ") + describe_node(item);
  }
  return text.empty() ? "[]" : printable(text + "]");
}

}  // namespace

std::string describe_node(const ConfigNode& node) {
  switch (node.kind) {
    case ConfigNode::Kind::kText:
      return printable(node.text);
    case ConfigNode::Kind::kList:
      return describe_list(node);
    case ConfigNode::Kind::kSection:
      return "a section";
    case ConfigNode::Kind::kNothing:
      break;
  }
  return "nothing";
}

std::optional<std::string> assign(const FieldReference& field, const ConfigNode& node) {
  return std::visit(Assign{node}, field);
}

std::string yaml_text(const FieldReference& field) { return std::visit(YamlText{}, field); }

std::string type_text(const FieldReference& field) { return std::visit(TypeText{}, field); }

}  // namespace hetmoe
