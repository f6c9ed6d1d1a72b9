#include "launcher/sweep/sweep_file.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "core/base/error.h"
#include "core/config/value_text.h"
#include "core/config/yaml_reader.h"

namespace hetmoe {
namespace {

constexpr std::size_t kLongestName = 100;
constexpr std::string_view kNameLetters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-";

/// One key with its value as --set takes it, and as part of a folder's name.
struct Setting {
  std::string key;
  std::string value;
  std::string in_name;
};

struct Axis {
  std::string key;
  std::vector<Setting> values;
};

bool is_plain(std::string_view text) {
  return !text.empty() && text.find_first_not_of(kNameLetters) == std::string_view::npos;
}

bool is_folder_name(std::string_view name) {
  return is_plain(name) && name.size() <= kLongestName && name.front() != '.' &&
         name.front() != '-' && name != kComparisonFile && !name.ends_with(kSubmittedEnding);
}

/// YAML that reads back to the text, quoted.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char letter : text) out += letter == '\'' ? "''" : std::string(1, letter);
  return out + "'";
}

std::string value_text(const ConfigNode& node, bool in_list) {
  if (node.kind == ConfigNode::Kind::kList) {
    std::string text;
    for (const ConfigNode& element : node.children)
      text += (text.empty() ? "" : ", ") + value_text(element, true);
    return "[" + text + "]";
  }
  return node.quoted || (in_list && !is_plain(node.text)) ? quoted(node.text) : node.text;
}

std::string name_text(const ConfigNode& node) {
  std::string text = node.text;
  for (const ConfigNode& element : node.children)
    text += (text.empty() ? "" : "_") + name_text(element);
  std::replace_if(
      text.begin(), text.end(),
      [](char letter) { return kNameLetters.find(letter) == std::string_view::npos; }, '_');
  return text;
}

std::vector<std::string> words_of(const std::vector<Setting>& settings) {
  std::vector<std::string> words;
  for (const Setting& setting : settings) words.push_back(setting.key + "=" + setting.value);
  return words;
}

std::string last_word(const std::string& key) { return key.substr(key.rfind('.') + 1); }

class SweepReader {
 public:
  Sweep read(const ConfigNode& root);

 private:
  void refuse(const ConfigOrigin& origin, const std::string& message) {
    faults_.push_back(origin.text() + ": " + message);
  }
  /// A section's children by their keys; one given twice is a fault.
  std::map<std::string, const ConfigNode*> children_of(const ConfigNode& section);
  bool is_value(const ConfigNode& node, const std::string& key);
  void read_settings(const ConfigNode& section, const std::string& prefix,
                     std::vector<Setting>& settings);
  void read_axes(const ConfigNode& section, const std::string& prefix);
  void read_runs(const ConfigNode& section);
  void read_parts(const ConfigNode& root, Sweep& sweep);
  std::size_t combinations(const ConfigNode& root);
  SweepRun combined(const SweepRun& run, std::size_t number) const;
  void require_unique_names(const ConfigNode& root, const Sweep& sweep);
  void throw_faults() const;

  std::vector<Setting> common_;
  std::vector<std::pair<std::string, std::vector<Setting>>> runs_;
  std::vector<Axis> axes_;
  std::vector<std::string> faults_;
};

std::map<std::string, const ConfigNode*> SweepReader::children_of(const ConfigNode& section) {
  std::map<std::string, const ConfigNode*> children;
  for (const ConfigNode& child : section.children) {
    if (!children.emplace(child.key, &child).second)
      refuse(child.origin, printable(child.key) + ": given twice, allowed: once");
  }
  return children;
}

bool SweepReader::is_value(const ConfigNode& node, const std::string& key) {
  if (node.kind == ConfigNode::Kind::kText && node.text.find('\n') == std::string::npos)
    return true;
  if (node.kind == ConfigNode::Kind::kList) {
    return std::all_of(node.children.begin(), node.children.end(),
                       [&](const ConfigNode& element) { return is_value(element, key); });
  }
  refuse(node.origin, printable(key) + ": " +
                          (node.kind == ConfigNode::Kind::kText ? "a text of several lines"
                                                                : describe_node(node)) +
                          ", allowed: a value or a list");
  return false;
}

void SweepReader::read_settings(const ConfigNode& section, const std::string& prefix,
                                std::vector<Setting>& settings) {
  for (const auto& [name, child] : children_of(section)) {
    const std::string key = prefix + name;
    if (child->kind == ConfigNode::Kind::kSection) {
      read_settings(*child, key + ".", settings);
    } else if (std::any_of(settings.begin(), settings.end(),
                           [&](const Setting& before) { return before.key == key; })) {
      refuse(child->origin, printable(key) + ": given twice, allowed: once");
    } else if (is_value(*child, key)) {
      settings.push_back({key, value_text(*child, false), name_text(*child)});
    }
  }
}

void SweepReader::read_axes(const ConfigNode& section, const std::string& prefix) {
  children_of(section);  // for its faults: the order of the axes is that of the file
  for (const ConfigNode& child : section.children) {
    const std::string key = prefix + child.key;
    if (child.kind == ConfigNode::Kind::kSection) {
      read_axes(child, key + ".");
      continue;
    }
    const bool is_known =
        std::any_of(axes_.begin(), axes_.end(), [&](const Axis& axis) { return axis.key == key; });
    if (is_known) refuse(child.origin, printable(key) + ": given twice, allowed: once");
    if (child.kind != ConfigNode::Kind::kList || child.children.empty()) {
      refuse(child.origin,
             printable(key) + ": " + describe_node(child) + ", allowed: a list of values to try");
      continue;
    }
    Axis axis{.key = key, .values = {}};
    for (const ConfigNode& value : child.children) {
      if (is_value(value, key))
        axis.values.push_back({key, value_text(value, false), name_text(value)});
    }
    axes_.push_back(std::move(axis));
  }
}

void SweepReader::read_runs(const ConfigNode& section) {
  children_of(section);
  for (const ConfigNode& child : section.children) {
    if (!is_folder_name(child.key)) {
      refuse(child.origin, "run " + printable(child.key) +
                               ": allowed: a name for its folder of at most 100 letters, digits "
                               "and . _ + -, that begins with none of . -");
    }
    std::vector<Setting> settings;
    if (child.kind == ConfigNode::Kind::kSection) {
      read_settings(child, "", settings);
    } else if (child.kind != ConfigNode::Kind::kNothing) {
      refuse(child.origin, "run " + printable(child.key) + ": " + describe_node(child) +
                               ", allowed: a section of keys to set, or {}");
    }
    runs_.emplace_back(child.key, std::move(settings));
  }
}

void SweepReader::read_parts(const ConfigNode& root, Sweep& sweep) {
  constexpr std::array<std::string_view, 3> kSections = {"set", "runs", "grid"};
  const auto parts = children_of(root);
  for (const auto& [name, part] : parts) {
    if (name == "config") {
      if (part->kind == ConfigNode::Kind::kText && !part->text.empty()) {
        sweep.config_path = part->text;
      } else {
        refuse(part->origin, "config: " + describe_node(*part) + ", allowed: a path");
      }
    } else if (std::find(kSections.begin(), kSections.end(), name) == kSections.end()) {
      refuse(part->origin, printable(name) + ": unknown key, allowed: config, set, runs, grid");
    } else if (part->kind != ConfigNode::Kind::kSection) {
      refuse(part->origin, name + ": " + describe_node(*part) + ", allowed: a section");
    } else if (name == "set") {
      read_settings(*part, "", common_);
    } else if (name == "runs") {
      read_runs(*part);
    } else {
      read_axes(*part, "");
    }
  }
  if (!parts.contains("config"))
    refuse(root.origin, "config: missing, allowed: the path of a configuration");
  if (!parts.contains("runs") && !parts.contains("grid"))
    refuse(root.origin, "runs and grid: missing, allowed: at least one of them");
}

/// Of the grid's values; 0 after a fault.
std::size_t SweepReader::combinations(const ConfigNode& root) {
  std::size_t count = 1;
  for (const Axis& axis : axes_) {
    for (const auto& [name, settings] : runs_) {
      for (const Setting& setting : settings) {
        if (setting.key == axis.key)
          refuse(root.origin, "run " + name + " sets " + axis.key + ", which grid varies");
      }
    }
    count *= axis.values.size();
    if (count * std::max<std::size_t>(runs_.size(), 1) > kMostSweepRuns) {
      refuse(root.origin, "more than " + std::to_string(kMostSweepRuns) + " runs");
      return 0;
    }
  }
  return count;
}

/// The last axis varies fastest.
SweepRun SweepReader::combined(const SweepRun& run, std::size_t number) const {
  std::vector<const Setting*> chosen;
  for (auto axis = axes_.rbegin(); axis != axes_.rend(); ++axis) {
    chosen.push_back(&axis->values[number % axis->values.size()]);
    number /= axis->values.size();
  }
  SweepRun out = run;
  for (auto setting = chosen.rbegin(); setting != chosen.rend(); ++setting) {
    out.name +=
        (out.name.empty() ? "" : "-") + last_word((*setting)->key) + "-" + (*setting)->in_name;
    out.settings.push_back((*setting)->key + "=" + (*setting)->value);
  }
  return out;
}

void SweepReader::require_unique_names(const ConfigNode& root, const Sweep& sweep) {
  std::set<std::string> names;
  for (const SweepRun& run : sweep.runs) {
    if (!names.insert(run.name).second) refuse(root.origin, "two runs are called " + run.name);
    if (!is_folder_name(run.name))
      refuse(root.origin, "run " + printable(run.name) + ": no name for a folder");
  }
}

void SweepReader::throw_faults() const {
  if (faults_.empty()) return;
  std::string text;
  for (const std::string& fault : faults_) text += (text.empty() ? "" : "\n") + fault;
  throw ConfigError(text);
}

Sweep SweepReader::read(const ConfigNode& root) {
  if (root.kind != ConfigNode::Kind::kSection)
    throw ConfigError(root.origin.text() + ": " + describe_node(root) +
                      ", allowed: a section with config, set, runs and grid");
  Sweep sweep;
  read_parts(root, sweep);
  const std::size_t count = combinations(root);
  throw_faults();
  std::vector<SweepRun> bases;
  for (const auto& [name, settings] : runs_) {
    bases.push_back({.name = name, .settings = words_of(common_)});
    for (std::string& word : words_of(settings)) bases.back().settings.push_back(std::move(word));
  }
  if (runs_.empty() && !axes_.empty()) bases.push_back({.name = "", .settings = words_of(common_)});
  if (bases.empty()) refuse(root.origin, "no run, allowed: at least one");
  // All runs with one combination before the next: what is there first can be compared.
  for (std::size_t number = 0; number < count; ++number) {
    for (const SweepRun& base : bases) sweep.runs.push_back(combined(base, number));
  }
  require_unique_names(root, sweep);
  throw_faults();
  return sweep;
}

}  // namespace

Sweep parse_sweep(const ConfigNode& root) { return SweepReader().read(root); }

Sweep read_sweep(const std::string& path) { return parse_sweep(read_yaml_file(path)); }

}  // namespace hetmoe
