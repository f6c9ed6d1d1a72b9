#include "core/config/yaml_reader.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/config/text_check.h"
#include "core/config/value_text.h"

namespace hetmoe {
namespace {

constexpr std::size_t kLargestFileBytes = 1 << 20;
constexpr std::size_t kDeepestLevel = 16;
constexpr int kMostValues = 10'000;

/// Empty for a setting: its value has no lines.
using Source = std::shared_ptr<const std::string>;

[[noreturn]] void fail_at(const Source& source, int line, const std::string& what) {
  throw ConfigError(source ? ConfigOrigin{source, line}.text() + ": " + what : what);
}

/// Builds the tree from the parser's events, which never expand an alias.
class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(Source source) : source_(std::move(source)) {
    root_.kind = ConfigNode::Kind::kSection;
    root_.origin = {source_, 1};
  }

  ConfigNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) fail(mark, "a second document, allowed: one");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override {
    if (open_.empty()) return;  // an empty document
    if (expects_key()) fail(mark, "a key that is empty, allowed: a word");
    add(node_at(mark, ConfigNode::Kind::kNothing));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    fail(mark, "an alias (*name), allowed: values written out");
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                const std::string& value) override {
    refuse_tag(mark, tag);
    if (expects_key()) {
      pending_key_ = value;
      pending_origin_ = at(mark);
      has_key_ = true;
      return;
    }
    ConfigNode node = node_at(mark, ConfigNode::Kind::kText);
    node.text = value;
    node.quoted = tag == "!";
    add(std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, ConfigNode::Kind::kList);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, ConfigNode::Kind::kSection);
  }
  void OnMapEnd() override { close(); }

 private:
  [[noreturn]] void fail(const YAML::Mark& mark, const std::string& what) const {
    fail_at(source_, mark.line + 1, what);
  }

  ConfigOrigin at(const YAML::Mark& mark) const { return {source_, mark.line + 1}; }

  bool expects_key() const {
    return !open_.empty() && open_.back().kind == ConfigNode::Kind::kSection && !has_key_;
  }

  void refuse_tag(const YAML::Mark& mark, const std::string& tag) const {
    if (!tag.empty() && tag != "?" && tag != "!") {
      fail(mark, "a tag (" + printable(tag) + "), allowed: plain values");
    }
  }

  ConfigNode node_at(const YAML::Mark& mark, ConfigNode::Kind kind) {
    if (++values_ > kMostValues) {
      fail(mark, "more than " + std::to_string(kMostValues) + " values");
    }
    ConfigNode node;
    node.kind = kind;
    node.origin = at(mark);
    if (has_key_) {
      node.key = std::exchange(pending_key_, {});
      node.origin = pending_origin_;
      has_key_ = false;
    }
    return node;
  }

  void open(const YAML::Mark& mark, const std::string& tag, ConfigNode::Kind kind) {
    refuse_tag(mark, tag);
    if (expects_key())
      fail(mark, "a key that is a list or a section, allowed: a word (is a bracket left open?)");
    if (open_.size() >= kDeepestLevel) {
      fail(mark, "more than " + std::to_string(kDeepestLevel) + " levels");
    }
    open_.push_back(node_at(mark, kind));
  }

  void close() {
    ConfigNode done = std::move(open_.back());
    open_.pop_back();
    add(std::move(done));
  }

  void add(ConfigNode node) {
    if (open_.empty()) {
      root_ = std::move(node);
    } else {
      open_.back().children.push_back(std::move(node));
    }
  }

  Source source_;
  ConfigNode root_;
  std::vector<ConfigNode> open_;
  std::string pending_key_;
  ConfigOrigin pending_origin_;
  bool has_key_ = false;
  int documents_ = 0;
  int values_ = 0;
};

ConfigNode parse(const std::string& text, const Source& source) {
  if (const auto fault = text_fault(text)) fail_at(source, fault->line, fault->message);
  TreeBuilder builder(source);
  try {
    // The parser takes the end of the text for the end of an open quote. It does not take the end
    // of a document for that.
    std::istringstream stream(text + "\n...\n");
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    const auto last_line = static_cast<int>(std::count(text.begin(), text.end(), '\n')) + 1;
    if (error.mark.line >= last_line) {
      fail_at(source, last_line, "not YAML: ends inside a quote, a list or a section left open");
    }
    fail_at(source, error.mark.line + 1,
            "not YAML: " + error.msg + " (column " + std::to_string(error.mark.column + 1) + ")");
  }
  return builder.take();
}

}  // namespace

ConfigNode parse_yaml(const std::string& text, const std::string& source) {
  return parse(text, std::make_shared<const std::string>(source));
}

ConfigNode read_yaml_file(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    throw ConfigError(path + ": is a folder, allowed: a YAML file");
  }
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) throw ConfigError(path + ": cannot be read: " + std::strerror(errno));
  std::string text(kLargestFileBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) throw ConfigError(path + ": cannot be read: " + std::strerror(errno));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > kLargestFileBytes) {
    throw ConfigError(path + ": larger than 1 MiB, allowed: a configuration of at most 1 MiB");
  }
  return parse_yaml(text, path);
}

ConfigNode parse_setting_value(const std::string& value) {
  const bool is_yaml = !value.empty() && (value[0] == '[' || value[0] == '"' || value[0] == '\'');
  if (is_yaml) return parse(value, {});
  if (const auto fault = text_fault(value)) throw ConfigError(fault->message);
  ConfigNode node;
  node.kind = ConfigNode::Kind::kText;
  node.text = value;
  return node;
}

}  // namespace hetmoe
