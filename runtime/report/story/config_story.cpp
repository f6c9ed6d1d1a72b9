#include <cstdint>
#include <string>
#include <system_error>
#include <vector>

#include "core/base/error.h"
#include "core/config/field.h"
#include "core/config/reader.h"
#include "core/config/yaml_reader.h"
#include "core/model/model_config.h"
#include "runtime/report/story/story_parts.h"

namespace hetmoe {
namespace {

constexpr std::size_t kMostExperts = 1024;

std::string one_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string value_of(const ConfigNode& node) {
  if (node.kind != ConfigNode::Kind::kList) return node.text;
  std::string text;
  for (const ConfigNode& element : node.children)
    text += (text.empty() ? "" : ", ") + value_of(element);
  return "[" + text + "]";
}

void flatten(const ConfigNode& node, const std::string& prefix, RunStory& story) {
  for (const ConfigNode& child : node.children) {
    const std::string key = prefix.empty() ? child.key : prefix + "." + child.key;
    if (child.kind == ConfigNode::Kind::kSection) {
      flatten(child, key, story);
    } else {
      story.config.emplace_back(key, value_of(child));
    }
  }
}

const ConfigNode* child_of(const ConfigNode* node, const std::string& key) {
  if (node == nullptr) return nullptr;
  for (const ConfigNode& child : node->children) {
    if (child.key == key) return &child;
  }
  return nullptr;
}

/// Of the keys under model.experts that this version knows: a report is made of older and newer
/// runs too.
std::vector<std::int64_t> widths_of(const ConfigNode& root) {
  const ConfigNode* section = child_of(child_of(&root, "model"), "experts");
  if (section == nullptr) return {};
  ExpertsConfig experts;
  const std::vector<Field> fields = list_fields(experts);
  ConfigReader reader(fields);
  reader.read_tree(*section);
  if (experts.count < 1 || static_cast<std::size_t>(experts.count) > kMostExperts ||
      experts.widths.size() > kMostExperts || experts.mean_width > (1 << 20))
    return {};
  return expert_widths(experts);
}

}  // namespace

void add_config(RunStory& story, const RunDirectory& directory) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(directory.config_file(), ignored)) {
    story.passed_over.emplace_back("config.yaml: is not there");
    return;
  }
  try {
    ConfigNode root = read_yaml_file(directory.config_file().string());
    flatten(root, "", story);
    story.widths = widths_of(root);
  } catch (const Error& error) {
    // The message begins with the path, which is nobody's business on a page that is passed on.
    const std::string message = one_line(error.what());
    const std::size_t name = message.find("config.yaml");
    story.passed_over.push_back(name == std::string::npos ? "config.yaml: " + message
                                                          : message.substr(name));
  }
}

}  // namespace hetmoe
