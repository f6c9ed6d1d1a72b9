#include <algorithm>
#include <functional>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "runtime/checkpoint/manifest.h"

namespace hetmoe {
namespace {

using nlohmann::json;

constexpr int kDeepest = 12;
constexpr std::size_t kMostElements = std::size_t{1} << 20;
constexpr std::size_t kLongestName = 128;
constexpr std::int64_t kMostRanks = std::int64_t{1} << 24;
constexpr std::int64_t kMostSteps = std::int64_t{1} << 40;
// Large enough for any checkpoint, small enough that sums and products of them do not overflow.
constexpr std::int64_t kMostBytes = std::int64_t{1} << 50;
constexpr std::int64_t kBytesPerElement = 4;

[[noreturn]] void refuse(const std::string& file, const std::string& pointer,
                         const std::string& fault) {
  throw StorageError(file + ": " + (pointer.empty() ? "/" : pointer) + " " + fault);
}

/// A foreign text in one line of printable characters.
std::string shown(const std::string& text) {
  return json(text.substr(0, 64)).dump(-1, ' ', true, json::error_handler_t::replace);
}

/// A value and where it stands; every access checks.
class Node {
 public:
  Node(const json& value, const std::string& file, std::string pointer)
      : value_(value), file_(file), pointer_(std::move(pointer)) {}

  const json& value() const { return value_; }

  /// Neither more nor fewer.
  void check_keys(std::initializer_list<std::string_view> keys) const {
    if (!value_.is_object()) wrong_type("an object");
    std::string names;
    for (const std::string_view key : keys) names += (names.empty() ? "" : ", ") + std::string(key);
    for (const auto& [key, ignored] : value_.items()) {
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
        fault("has the unknown key " + shown(key) + ", allowed: " + names);
      }
    }
    for (const std::string_view key : keys) {
      if (!value_.contains(key)) fault("lacks the key \"" + std::string(key) + "\"");
    }
  }

  Node at(const std::string& key) const { return {value_.at(key), file_, pointer_ + "/" + key}; }

  std::vector<Node> elements() const {
    if (!value_.is_array()) wrong_type("an array");
    if (value_.size() > kMostElements) {
      fault(
          detail::concatenate("has ", value_.size(), " elements, allowed: up to ", kMostElements));
    }
    std::vector<Node> nodes;
    nodes.reserve(value_.size());
    for (std::size_t i = 0; i < value_.size(); ++i) {
      nodes.emplace_back(value_[i], file_, detail::concatenate(pointer_, "/", i));
    }
    return nodes;
  }

  std::int64_t integer(std::int64_t low, std::int64_t high) const {
    const bool fits =
        value_.is_number_integer() &&
        (!value_.is_number_unsigned() || std::in_range<std::int64_t>(value_.get<std::uint64_t>()));
    const std::int64_t number = fits ? value_.get<std::int64_t>() : 0;
    if (!fits || number < low || number > high) {
      fault(detail::concatenate("is ", shown_value(), ", allowed: an integer from ", low, " to ",
                                high));
    }
    return number;
  }

  std::uint64_t unsigned_integer() const {
    if (!value_.is_number_unsigned()) wrong_type("an integer from 0 to 2^64 - 1");
    return value_.get<std::uint64_t>();
  }

  std::string text() const {
    if (!value_.is_string()) wrong_type("a string");
    return value_.get<std::string>();
  }

  [[noreturn]] void fault(const std::string& text) const { refuse(file_, pointer_, text); }

 private:
  std::string shown_value() const {
    return value_.is_primitive() && !value_.is_string() ? value_.dump() : value_.type_name();
  }
  [[noreturn]] void wrong_type(const char* wanted) const {
    fault("is " + shown_value() + ", allowed: " + wanted);
  }

  const json& value_;
  const std::string& file_;
  std::string pointer_;
};

/// Refuses what the parser would let through: deep nesting and repeated keys.
class ShapeGuard {
 public:
  explicit ShapeGuard(const std::string& file) : file_(file) {}

  bool operator()(int depth, json::parse_event_t event, const json& value) {
    if (depth > kDeepest) {
      refuse(file_, "", detail::concatenate("nests deeper than ", kDeepest));
    }
    if (event == json::parse_event_t::object_start) keys_.emplace_back();
    if (event == json::parse_event_t::object_end) keys_.pop_back();
    if (event == json::parse_event_t::key &&
        !keys_.back().insert(value.get<std::string>()).second) {
      refuse(file_, "", "repeats the key " + shown(value.get<std::string>()));
    }
    return true;
  }

 private:
  const std::string& file_;
  std::vector<std::set<std::string>> keys_;
};

json parse(std::string_view text, const std::string& file) {
  if (std::cmp_greater(text.size(), kLongestManifest)) {
    refuse(file, "",
           detail::concatenate("is ", text.size(), " bytes, allowed: up to ", kLongestManifest));
  }
  ShapeGuard guard(file);
  try {
    return json::parse(text, std::ref(guard));
  } catch (const json::parse_error& error) {
    refuse(file, "", detail::concatenate("is not JSON at byte ", error.byte));
  } catch (const json::out_of_range&) {
    refuse(file, "", "holds a number that is too large");
  }
}

/// What is safe as a file's name on any system, and in a line of text.
bool is_plain_name(const std::string& name) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= kLongestName && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), plain);
}

constexpr const char* kPlainName = "up to 128 letters, digits, '.', '_' and '-', no '.' in front";

bool is_digest(const std::string& text) {
  constexpr std::string_view kPrefix = "xxh3-128:";
  return text.starts_with(kPrefix) && text.size() == kPrefix.size() + 32 &&
         text.find_first_not_of("0123456789abcdef", kPrefix.size()) == std::string::npos;
}

std::vector<CheckpointFile> read_files(const Node& node) {
  std::vector<CheckpointFile> files;
  std::int64_t room = kMostBytes;
  std::set<std::string> names;
  for (const Node& element : node.elements()) {
    element.check_keys({"name", "bytes", "digest"});
    CheckpointFile file;
    file.name = element.at("name").text();
    if (!is_plain_name(file.name) || file.name == kManifestName || file.name == kCommittedName) {
      element.at("name").fault("is " + shown(file.name) + ", allowed: " + kPlainName);
    }
    if (!names.insert(file.name).second) {
      element.at("name").fault("is " + shown(file.name) + " for the second time");
    }
    file.bytes = element.at("bytes").integer(1, room);
    room -= file.bytes;
    file.digest = element.at("digest").text();
    if (!is_digest(file.digest)) {
      element.at("digest").fault("is " + shown(file.digest) +
                                 ", allowed: xxh3-128: and 32 lower-case hex digits");
    }
    files.push_back(std::move(file));
  }
  return files;
}

std::vector<std::int64_t> read_shape(const Node& node) {
  std::vector<std::int64_t> shape;
  std::int64_t room = kMostBytes / kBytesPerElement;
  for (const Node& size : node.elements()) {
    if (shape.size() == 2)
      node.fault("has more than two sizes, allowed: [rows] or [rows, columns]");
    shape.push_back(size.integer(1, room));
    room /= shape.back();
  }
  if (shape.empty()) node.fault("is empty, allowed: [rows] or [rows, columns]");
  return shape;
}

/// Bytes of each file that no part takes yet.
using Room = std::map<std::string, std::int64_t>;

TensorPart read_part(const Node& node, const std::string& name, const CheckpointTensor& tensor,
                     Room& files) {
  node.check_keys({"rows", "file", "key"});
  const std::vector<Node> range = node.at("rows").elements();
  if (range.size() != 2) node.at("rows").fault("has not two elements, allowed: [begin, end]");
  TensorPart part;
  // One after another: a later begin is a hole, an earlier one an overlap.
  const std::int64_t begin = tensor.parts.empty() ? 0 : tensor.parts.back().row_end;
  part.row_begin = range[0].integer(begin, begin);
  part.row_end = range[1].integer(begin + 1, tensor.rows());
  part.file = node.at("file").text();
  const auto file = files.find(part.file);
  if (file == files.end()) {
    node.at("file").fault("is " + shown(part.file) + ", allowed: a name from /files");
  }
  file->second -= (part.row_end - begin) * tensor.columns() * kBytesPerElement;
  if (file->second < 0) node.at("rows").fault("do not fit into " + part.file);
  part.key = node.at("key").text();
  const std::string key = part_key(name, part.row_begin, part.row_end);
  if (part.key != key) {
    node.at("key").fault("is " + shown(part.key) + ", allowed: " + shown(key));
  }
  return part;
}

CheckpointTensor read_tensor(const Node& node, const std::string& name, Room& files) {
  node.check_keys({"dtype", "shape", "parts"});
  if (const std::string type = node.at("dtype").text(); type != "F32") {
    node.at("dtype").fault("is " + shown(type) + ", allowed: \"F32\"");
  }
  CheckpointTensor tensor;
  tensor.shape = read_shape(node.at("shape"));
  std::int64_t end = 0;
  for (const Node& part : node.at("parts").elements()) {
    if (end == tensor.rows()) part.fault("begins behind the last row");
    tensor.parts.push_back(read_part(part, name, tensor, files));
    end = tensor.parts.back().row_end;
  }
  if (end != tensor.rows()) {
    node.at("parts").fault(detail::concatenate("end at row ", end, ", allowed: ", tensor.rows()));
  }
  return tensor;
}

std::map<std::string, CheckpointTensor> read_tensors(const Node& node,
                                                     const std::vector<CheckpointFile>& files) {
  Room room;
  for (const CheckpointFile& file : files) room.emplace(file.name, file.bytes);
  if (!node.value().is_object()) node.fault("is no object");
  std::map<std::string, CheckpointTensor> tensors;
  for (const auto& [name, ignored] : node.value().items()) {
    if (!is_plain_name(name)) {
      node.fault("has the key " + shown(name) + ", allowed: " + kPlainName);
    }
    tensors.emplace_hint(tensors.end(), name, read_tensor(node.at(name), name, room));
  }
  return tensors;
}

CheckpointState read_state(const Node& node) {
  node.check_keys({"sampler", "optimizer_steps", "skipped_steps", "loads", "ranks",
                   "expert_group_size", "placement", "config"});
  node.at("sampler").check_keys({"seed"});
  CheckpointState state;
  state.sampler_seed = node.at("sampler").at("seed").unsigned_integer();
  state.optimizer_updates = node.at("optimizer_steps").integer(0, kMostSteps);
  state.skipped_steps = node.at("skipped_steps").integer(0, kMostSteps);
  for (const Node& layer : node.at("loads").elements()) {
    std::vector<std::int64_t>& loads = state.loads.emplace_back();
    for (const Node& load : layer.elements()) loads.push_back(load.integer(0, kMostBytes));
  }
  state.ranks = static_cast<int>(node.at("ranks").integer(1, kMostRanks));
  state.expert_group_size = static_cast<int>(node.at("expert_group_size").integer(1, state.ranks));
  if (!node.at("placement").value().is_object()) node.at("placement").fault("is no object");
  state.plan = node.at("placement").value().dump();
  state.config = node.at("config").text();
  return state;
}

}  // namespace

Manifest read_manifest(std::string_view text, const std::string& file) {
  const json value = parse(text, file);
  const Node root(value, file, "");
  if (value.is_object() && value.contains("format") && value["format"] != kManifestFormat) {
    root.at("format").fault("is " + shown(value["format"].dump()) +
                            ", allowed: " + shown(kManifestFormat));
  }
  root.check_keys({"format", "step", "tokens", "generation", "files", "tensors", "state"});
  Manifest manifest;
  manifest.step = root.at("step").integer(0, kMostSteps);
  manifest.tokens = root.at("tokens").integer(0, kMostBytes);
  manifest.generation = static_cast<int>(root.at("generation").integer(0, 1 << 30));
  manifest.files = read_files(root.at("files"));
  manifest.tensors = read_tensors(root.at("tensors"), manifest.files);
  manifest.state = read_state(root.at("state"));
  return manifest;
}

}  // namespace hetmoe
