#include "parallel/placement/plan_json.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <initializer_list>
#include <iomanip>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/config/tree.h"
#include "parallel/placement/cluster_file.h"

namespace hetmoe {
namespace {

using nlohmann::json;

constexpr std::size_t kLargestTextBytes = std::size_t{64} << 20;
constexpr int kDeepest = 8;
constexpr std::size_t kMostLayers = 4096;
constexpr std::size_t kMostSlices = 1 << 20;
constexpr std::int64_t kLargestInteger = std::int64_t{1} << 40;

[[noreturn]] void refuse(std::string_view what, const std::string& pointer,
                         const std::string& fault) {
  throw ConfigError(detail::concatenate(what, ": ", pointer.empty() ? "/" : pointer, " ", fault));
}

// A value and where it stands; every access checks.
class Node {
 public:
  Node(const json& value, std::string_view what, std::string pointer)
      : value_(value), what_(what), pointer_(std::move(pointer)) {}

  void check_keys(std::initializer_list<std::string_view> allowed) const {
    if (!value_.is_object()) wrong_type("an object");
    std::string names;
    for (const std::string_view name : allowed)
      names += (names.empty() ? "" : ", ") + std::string(name);
    for (const auto& [key, ignored] : value_.items())
      if (std::find(allowed.begin(), allowed.end(), key) == allowed.end())
        fault("has the unknown key " + json(key.substr(0, 64)).dump(-1, ' ', true, kReplace) +
              ", allowed: " + names);
  }

  bool has(const char* key) const { return value_.contains(key); }

  Node at(const char* key) const {
    if (!value_.contains(key)) fault(std::string("lacks the key \"") + key + "\"");
    return {value_.at(key), what_, pointer_ + "/" + key};
  }

  std::vector<Node> elements(std::size_t most) const {
    if (!value_.is_array()) wrong_type("an array");
    if (value_.size() > most)
      fault(detail::concatenate("has ", value_.size(), " elements, allowed: at most ", most));
    std::vector<Node> nodes;
    for (std::size_t i = 0; i < value_.size(); ++i)
      nodes.emplace_back(value_[i], what_, detail::concatenate(pointer_, "/", i));
    return nodes;
  }

  std::int64_t integer(std::int64_t low, std::int64_t high) const {
    if (!value_.is_number_integer()) wrong_type("an integer");
    const bool huge = value_.is_number_unsigned() &&
                      value_.get<std::uint64_t>() > static_cast<std::uint64_t>(kLargestInteger);
    const std::int64_t number = huge ? 0 : value_.get<std::int64_t>();
    if (huge || number < low || number > high)
      fault(detail::concatenate("is ", value_.dump(), ", allowed: ", low, " to ", high));
    return number;
  }

  double number() const {
    if (!value_.is_number()) wrong_type("a number");
    return value_.get<double>();
  }

  std::string text() const {
    if (!value_.is_string()) wrong_type("a string");
    return value_.get<std::string>();
  }

  bool boolean() const {
    if (!value_.is_boolean()) wrong_type("true or false");
    return value_.get<bool>();
  }

  bool is_null() const { return value_.is_null(); }

  /// As the configuration's reader takes it, with this place as the origin of everything.
  ConfigNode config_node() const {
    return config_node(
        value_, "",
        {std::make_shared<const std::string>(detail::concatenate(what_, ": ", pointer_)), 0});
  }

  [[noreturn]] void fault(const std::string& text) const { refuse(what_, pointer_, text); }

 private:
  static constexpr auto kReplace = json::error_handler_t::replace;

  static ConfigNode config_node(const json& value, const std::string& key,
                                const ConfigOrigin& origin) {
    using Kind = ConfigNode::Kind;
    ConfigNode node;
    node.key = key;
    node.origin = origin;
    node.quoted = value.is_string();
    node.kind = value.is_object()  ? Kind::kSection
                : value.is_array() ? Kind::kList
                : value.is_null()  ? Kind::kNothing
                                   : Kind::kText;
    if (node.kind == Kind::kText) {
      node.text = value.is_string() ? value.get<std::string>() : value.dump();
    }
    if (value.is_structured()) {
      for (const auto& [name, child] : value.items()) {
        node.children.push_back(config_node(child, name, origin));
      }
    }
    return node;
  }

  [[noreturn]] void wrong_type(const char* wanted) const {
    fault(std::string("is ") + value_.type_name() + ", allowed: " + wanted);
  }

  const json& value_;
  std::string_view what_;
  std::string pointer_;
};

// Refuses what the parser would let through: deep nesting and repeated keys.
class ShapeGuard {
 public:
  explicit ShapeGuard(std::string_view what) : what_(what) {}

  bool operator()(int depth, json::parse_event_t event, const json& value) {
    if (depth > kDeepest) refuse(what_, "", detail::concatenate("nests deeper than ", kDeepest));
    if (event == json::parse_event_t::object_start) keys_.emplace_back();
    if (event == json::parse_event_t::object_end) keys_.pop_back();
    if (event == json::parse_event_t::key && !keys_.back().insert(value.get<std::string>()).second)
      refuse(what_, "", "repeats the key " + value.dump(-1, ' ', true));
    return true;
  }

 private:
  std::string_view what_;
  std::vector<std::set<std::string>> keys_;
};

json parse(std::string_view text, std::string_view what) {
  if (text.size() > kLargestTextBytes)
    refuse(what, "",
           detail::concatenate("is ", text.size(), " bytes, allowed: at most ", kLargestTextBytes));
  ShapeGuard guard(what);
  try {
    return json::parse(text, std::ref(guard));
  } catch (const json::parse_error& error) {
    refuse(what, "", detail::concatenate("is not JSON at byte ", error.byte));
  } catch (const json::out_of_range&) {
    refuse(what, "", "holds a number that is too large");
  }
}

PlacedSlice read_slice(const Node& node) {
  node.check_keys({"expert", "rank", "begin", "end", "share"});
  PlacedSlice slice;
  slice.expert = static_cast<int>(node.at("expert").integer(0, 1 << 20));
  slice.rank = static_cast<int>(node.at("rank").integer(0, 1 << 20));
  slice.begin = node.at("begin").integer(0, kLargestInteger);
  slice.end = node.at("end").integer(0, kLargestInteger);
  if (node.has("share")) slice.share = node.at("share").number();
  return slice;
}

Plan read_plan_node(const Node& node) {
  node.check_keys({"layers", "memory_max_over_mean", "predicted_step_seconds", "bound_by"});
  Plan plan;
  for (const Node& layer : node.at("layers").elements(kMostLayers)) {
    layer.check_keys({"slices", "flops_max_over_mean", "traffic_ratio"});
    LayerPlacement& placement = plan.placement.layers.emplace_back();
    for (const Node& slice : layer.at("slices").elements(kMostSlices))
      placement.slices.push_back(read_slice(slice));
    LayerCost& cost = plan.layers.emplace_back();
    if (layer.has("flops_max_over_mean"))
      cost.flops_max_over_mean = layer.at("flops_max_over_mean").number();
    if (layer.has("traffic_ratio")) cost.traffic_ratio = layer.at("traffic_ratio").number();
  }
  if (node.has("memory_max_over_mean"))
    plan.memory_max_over_mean = node.at("memory_max_over_mean").number();
  if (node.has("predicted_step_seconds") && !node.at("predicted_step_seconds").is_null())
    plan.predicted_step_seconds = node.at("predicted_step_seconds").number();
  if (node.has("bound_by")) {
    plan.bound_by = node.at("bound_by").text();
    const std::set<std::string> allowed = {"compute", "traffic", "memory", "granularity", "none"};
    if (!allowed.contains(plan.bound_by))
      node.at("bound_by").fault("allowed: compute, traffic, memory, granularity, none");
  }
  return plan;
}

PlanLayer read_layer(const Node& node) {
  node.check_keys({"widths", "tokens"});
  PlanLayer layer;
  for (const Node& width : node.at("widths").elements(kMostSlices))
    layer.widths.push_back(width.integer(-kLargestInteger, kLargestInteger));
  for (const Node& tokens : node.at("tokens").elements(kMostSlices))
    layer.tokens.push_back(tokens.integer(-kLargestInteger, kLargestInteger));
  return layer;
}

Recompute recompute_of(const Node& node) {
  const std::vector<std::string> words = enum_words(Recompute{});
  const std::string text = node.text();
  const auto found = std::find(words.begin(), words.end(), text);
  if (found == words.end())
    node.fault("is " +
               json(text.substr(0, 64)).dump(-1, ' ', true, json::error_handler_t::replace) +
               ", allowed: none, experts, block");
  return static_cast<Recompute>(found - words.begin());
}

void read_limits(const Node& root, PlanProblem& problem) {
  if (root.has("bytes_per_parameter"))
    problem.bytes_per_parameter = root.at("bytes_per_parameter").number();
  if (root.has("bytes_per_replica_parameter"))
    problem.bytes_per_replica_parameter = root.at("bytes_per_replica_parameter").number();
  if (root.has("memory_cap_ratio") && root.has("memory_cap_bytes"))
    root.fault("has both memory_cap_ratio and memory_cap_bytes, allowed: one of them");
  if (root.has("memory_cap_ratio")) problem.memory_cap_ratio = root.at("memory_cap_ratio").number();
  if (root.has("memory_cap_bytes")) problem.memory_cap_bytes = root.at("memory_cap_bytes").number();
  if (root.has("tolerance")) problem.tolerance = root.at("tolerance").number();
  if (root.has("granularity"))
    problem.granularity = root.at("granularity").integer(1, kLargestInteger);
  if (root.has("bytes_per_value")) problem.bytes_per_value = root.at("bytes_per_value").number();
  if (root.has("microbatches"))
    problem.microbatches = static_cast<int>(root.at("microbatches").integer(1, 1 << 24));
  if (root.has("recompute")) problem.recompute = recompute_of(root.at("recompute"));
  if (root.has("replicas")) problem.replicas = root.at("replicas").integer(0, kLargestInteger);
}

}  // namespace

PlanProblem read_problem(std::string_view text) {
  const json value = parse(text, "planner problem");
  const Node root(value, "planner problem", "");
  root.check_keys({"hidden_size", "bytes_per_parameter", "bytes_per_replica_parameter", "ranks",
                   "memory_cap_ratio", "memory_cap_bytes", "tolerance", "granularity", "replicas",
                   "layers", "current", "cluster", "strict", "bytes_per_value", "microbatches",
                   "two_hops", "recompute"});
  PlanProblem problem;
  problem.hidden_size = root.at("hidden_size").integer(-kLargestInteger, kLargestInteger);
  problem.ranks = static_cast<int>(root.at("ranks").integer(-(1 << 30), 1 << 30));
  read_limits(root, problem);
  for (const Node& layer : root.at("layers").elements(kMostLayers))
    problem.layers.push_back(read_layer(layer));
  if (root.has("current") && !root.at("current").is_null())
    problem.current = read_plan_node(root.at("current")).placement;
  if (root.has("cluster") && !root.at("cluster").is_null())
    problem.cluster = read_cluster(root.at("cluster").config_node());
  if (root.has("strict")) problem.strict = root.at("strict").boolean();
  if (root.has("two_hops")) problem.two_hops = root.at("two_hops").boolean();
  validate_problem(problem);
  return problem;
}

Plan read_plan(std::string_view text) {
  const json value = parse(text, "plan");
  return read_plan_node(Node(value, "plan", ""));
}

std::string write_plan(const Plan& plan) {
  HETMOE_CHECK(plan.layers.size() == plan.placement.layers.size(), plan.layers.size(),
               " costs for ", plan.placement.layers.size(), " layers");
  nlohmann::ordered_json root;
  root["layers"] = nlohmann::ordered_json::array();
  for (std::size_t layer = 0; layer < plan.layers.size(); ++layer) {
    nlohmann::ordered_json slices = nlohmann::ordered_json::array();
    for (const PlacedSlice& slice : plan.placement.layers[layer].slices)
      slices.push_back({{"expert", slice.expert},
                        {"rank", slice.rank},
                        {"begin", slice.begin},
                        {"end", slice.end},
                        {"share", slice.share}});
    root["layers"].push_back({{"slices", std::move(slices)},
                              {"flops_max_over_mean", plan.layers[layer].flops_max_over_mean},
                              {"traffic_ratio", plan.layers[layer].traffic_ratio}});
  }
  root["memory_max_over_mean"] = plan.memory_max_over_mean;
  if (plan.predicted_step_seconds)
    root["predicted_step_seconds"] = *plan.predicted_step_seconds;
  else
    root["predicted_step_seconds"] = nullptr;
  root["bound_by"] = plan.bound_by;
  return root.dump() + "\n";
}

std::string digest_of(const Placement& placement) {
  // Eight bytes a number, so that equal bytes mean equal placements.
  std::vector<std::uint64_t> words;
  for (const LayerPlacement& layer : placement.layers) {
    words.push_back(layer.slices.size());
    for (const PlacedSlice& slice : layer.slices) {
      words.push_back(static_cast<std::uint64_t>(slice.expert));
      words.push_back(static_cast<std::uint64_t>(slice.rank));
      words.push_back(static_cast<std::uint64_t>(slice.begin));
      words.push_back(static_cast<std::uint64_t>(slice.end));
      words.push_back(std::bit_cast<std::uint64_t>(slice.share));
    }
  }
  const XXH128_hash_t hash = XXH3_128bits(words.data(), words.size() * sizeof(std::uint64_t));
  std::ostringstream text;
  text << "xxh3-128:" << std::hex << std::setfill('0') << std::setw(16) << hash.high64
       << std::setw(16) << hash.low64;
  return text.str();
}

}  // namespace hetmoe
