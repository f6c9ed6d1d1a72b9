#include "core/config/reader.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <variant>

#include "core/base/error.h"
#include "core/config/nearest_key.h"
#include "core/config/value_text.h"
#include "core/config/yaml_reader.h"

namespace hetmoe {
namespace {

std::string with_range(const std::string& type, const Allowed& allowed) {
  const std::string range = allowed.describe();
  return range.empty() ? type : type + ", " + range;
}

/// "model: and data:"
std::string first_sections(const std::vector<Field>& fields) {
  std::vector<std::string> sections;
  for (const Field& field : fields) {
    const auto dot = field.key.find('.');
    if (dot == std::string::npos) continue;
    const std::string section = field.key.substr(0, dot) + ":";
    if (sections.empty() || sections.back() != section) sections.push_back(section);
    if (sections.size() == 2) return sections[0] + " and " + sections[1];
  }
  return sections.empty() ? "KEY:" : sections[0];
}

/// Tables are long: the first faulty entry is named instead of the list.
std::optional<std::string> refusal_of_entry(const std::vector<double>& numbers,
                                            const Allowed& allowed) {
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (allowed.accepts_number(numbers[i])) continue;
    return "entry " + std::to_string(i) + " is " + number_text(numbers[i]) + ", " +
           allowed.refusal_of_number(numbers[i]);
  }
  return {};
}

/// Gives why a value is refused; nothing when it is good.
std::optional<std::string> refusal(const Field& field) {
  const Allowed& allowed = field.allowed;
  const auto* text = std::get_if<std::string*>(&field.value);
  const std::string value = text ? **text : yaml_text(field.value);
  if (text) {
    if (allowed.accepts_text(value)) return {};
    return "value " + printable(value) + ", allowed: " + allowed.describe();
  }
  const auto check_number = [&](double number) -> std::optional<std::string> {
    if (allowed.accepts_number(number)) return {};
    return "value " + printable(value) + ", " + allowed.refusal_of_number(number);
  };
  return std::visit(
      [&](const auto& target) -> std::optional<std::string> {
        using Target = std::decay_t<decltype(target)>;
        if constexpr (std::is_same_v<Target, std::vector<std::int64_t>*>) {
          for (const auto number : *target) {
            if (auto fault = check_number(static_cast<double>(number))) return fault;
          }
          return {};
        } else if constexpr (std::is_same_v<Target, std::vector<double>*>) {
          return refusal_of_entry(*target, allowed);
        } else if constexpr (std::is_same_v<Target, std::vector<std::string>*>) {
          return {};  // words for lists have not been needed
        } else if constexpr (std::is_pointer_v<Target> && !std::is_same_v<Target, std::string*>) {
          return check_number(static_cast<double>(*target));
        } else {
          return {};
        }
      },
      field.value);
}

}  // namespace

std::vector<ConfigFault> range_faults(const std::vector<Field>& fields) {
  std::vector<ConfigFault> faults;
  for (const auto& field : fields) {
    if (const auto message = refusal(field)) faults.push_back({field.key, *message, {}});
  }
  return faults;
}

void ConfigReader::read_tree(const ConfigNode& root) {
  file_ = {root.origin.source, 0};
  if (root.kind != ConfigNode::Kind::kSection) {
    throw ConfigError(root.origin.text() + ": " + describe_node(root) +
                      ", allowed: sections such as " + first_sections(fields_));
  }
  read_section(root, "");
}

void ConfigReader::read_setting(const std::string& setting) {
  const auto source = std::make_shared<const std::string>("--set " + printable(setting));
  const ConfigOrigin origin = {source, 0};
  const auto equals = setting.find('=');
  if (equals == 0 || equals == std::string::npos) {
    refuse(origin, "", "allowed: KEY=VALUE, such as train.steps=100");
    return;
  }
  const std::string key = setting.substr(0, equals);
  given_.erase(key);  // a setting may repeat what the file gives
  try {
    ConfigNode node = parse_setting_value(setting.substr(equals + 1));
    node.origin = origin;
    read_value(node, key);
  } catch (const ConfigError& error) {
    refuse(origin, key, error.what());
  }
}

bool ConfigReader::is_faulty(const std::string& key) const {
  return std::any_of(faults_.begin(), faults_.end(),
                     [&](const Fault& fault) { return fault.key == key; });
}

void ConfigReader::add_fault(const ConfigFault& fault) {
  std::vector<std::string> keys = {fault.key};
  keys.insert(keys.end(), fault.also.begin(), fault.also.end());
  for (const auto& key : keys) {
    if (const auto given = given_.find(key); given != given_.end()) {
      refuse(given->second, fault.key, fault.message);
      return;
    }
  }
  refuse(file_, fault.key, fault.message);
}

void ConfigReader::throw_faults() const {
  constexpr std::size_t kMostLines = 100;
  if (faults_.empty()) return;
  std::vector<Fault> sorted = faults_;
  // Lines of the file first, then what has no line: settings, and keys that were not given.
  std::stable_sort(sorted.begin(), sorted.end(), [](const Fault& a, const Fault& b) {
    return std::tuple(a.origin.line == 0, a.origin.line) <
           std::tuple(b.origin.line == 0, b.origin.line);
  });
  std::string text;
  for (std::size_t i = 0; i < std::min(sorted.size(), kMostLines); ++i) {
    const Fault& fault = sorted[i];
    if (i > 0) text += '\n';
    text += fault.origin.text() + ": ";
    if (!fault.key.empty()) text += printable(fault.key) + ": ";
    text += fault.message;
  }
  if (sorted.size() > kMostLines) {
    text += "\nand " + std::to_string(sorted.size() - kMostLines) + " more faults";
  }
  throw ConfigError(text);
}

const Field* ConfigReader::find(const std::string& key) const {
  const auto field = std::find_if(fields_.begin(), fields_.end(),
                                  [&](const Field& candidate) { return candidate.key == key; });
  return field == fields_.end() ? nullptr : &*field;
}

bool ConfigReader::is_section(const std::string& key) const {
  return std::any_of(fields_.begin(), fields_.end(), [&](const Field& field) {
    return field.key.size() > key.size() && field.key[key.size()] == '.' &&
           std::string_view(field.key).starts_with(key);
  });
}

void ConfigReader::read_section(const ConfigNode& section, const std::string& prefix) {
  for (const auto& node : section.children) read_value(node, prefix + node.key);
}

void ConfigReader::read_value(const ConfigNode& node, const std::string& key) {
  const auto [given, is_first] = given_.try_emplace(key, node.origin);
  if (!is_first) {
    refuse(node.origin, key,
           "given twice, allowed: once (first at line " + std::to_string(given->second.line) + ")");
    return;
  }
  if (const Field* field = find(key)) {
    assign_field(*field, node);
  } else if (!is_section(key)) {
    refuse(node.origin, key, "unknown key" + known_keys_hint(key, fields_));
  } else if (node.kind == ConfigNode::Kind::kSection) {
    read_section(node, key + ".");
  } else if (node.kind != ConfigNode::Kind::kNothing) {
    refuse(node.origin, key, "value " + describe_node(node) + ", allowed: a section of keys");
  }
}

void ConfigReader::assign_field(const Field& field, const ConfigNode& node) {
  if (const auto wanted = assign(field.value, node)) {
    refuse(node.origin, field.key,
           "value " + describe_node(node) + ", allowed: " + with_range(*wanted, field.allowed));
  }
}

void ConfigReader::refuse(const ConfigOrigin& origin, const std::string& key,
                          const std::string& message) {
  faults_.push_back({origin, key, message});
}

}  // namespace hetmoe
