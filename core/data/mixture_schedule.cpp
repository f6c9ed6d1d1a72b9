#include "core/data/mixture_schedule.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <queue>
#include <tuple>

#include "core/base/check.h"

namespace hetmoe {
namespace {

constexpr int kWeightBits = 52;
__extension__ typedef unsigned __int128 Wide;

/// Whole numbers in proportion to the weights, to 2^-52 of their sum: shares are exact, and those
/// of whole weights are the very ones given. Scaled by powers of two, which round nothing.
std::vector<std::int64_t> whole_weights(std::span<const double> weights) {
  int scale = std::numeric_limits<int>::min();
  for (const double weight : weights) {
    HETMOE_CHECK(std::isfinite(weight) && weight > 0, "weight ", weight);
    scale = std::max(scale, std::ilogb(weight));
  }
  double sum = 0;  // of scaled ones: weights themselves may add up to infinity
  for (const double weight : weights) sum += std::scalbn(weight, -scale);
  const int shift = kWeightBits - scale - std::ilogb(sum) - 1;
  std::vector<std::int64_t> whole;
  for (const double weight : weights) {
    whole.push_back(std::max<std::int64_t>(1, std::llround(std::scalbn(weight, shift))));
  }
  return whole;
}

}  // namespace

// A source's error is half a place at each node above it, times the shares of its path below. Built
// as Huffman does it, two shares in a row multiply to at most 1/2, so that errors add up to less
// than 2; a tree that splits the list in halves can be far worse.
MixtureSchedule::MixtureSchedule(std::span<const double> weights)
    : num_sources_(static_cast<int>(weights.size())) {
  HETMOE_CHECK(!weights.empty(), "no weights");
  using Open = std::tuple<std::int64_t, int, int>;  // weight, age, node or ~source
  std::priority_queue<Open, std::vector<Open>, std::greater<>> open;
  int age = 0;
  for (const std::int64_t weight : whole_weights(weights)) {
    open.emplace(weight, age, ~age);
    ++age;
  }
  while (open.size() > 1) {
    const auto [right_weight, right_age, right] = open.top();
    open.pop();
    const auto [left_weight, left_age, left] = open.top();
    open.pop();
    const std::int64_t weight = left_weight + right_weight;
    nodes_.push_back({left_weight, weight, left, right});
    open.emplace(weight, age++, static_cast<int>(nodes_.size()) - 1);
  }
  root_ = std::get<2>(open.top());
}

/// Of the first `count` places of a node: the nearest whole number to the left one's share, which
/// never grows by more than 1.
std::int64_t MixtureSchedule::left_count(const Node& node, std::int64_t count) {
  const auto twice = 2 * static_cast<Wide>(count) * static_cast<Wide>(node.left_weight);
  const auto weight = static_cast<Wide>(node.weight);
  return static_cast<std::int64_t>((twice + weight) / (2 * weight));
}

MixtureSchedule::Place MixtureSchedule::at(std::int64_t index) const {
  HETMOE_CHECK(index >= 0, "place ", index);
  int at = root_;
  while (at >= 0) {
    const Node& node = nodes_[static_cast<std::size_t>(at)];
    const std::int64_t before = left_count(node, index);
    const bool is_left = left_count(node, index + 1) > before;
    index = is_left ? before : index - before;
    at = is_left ? node.left : node.right;
  }
  return {.source = ~at, .sample = index};
}

std::vector<std::int64_t> MixtureSchedule::counts(std::int64_t count) const {
  HETMOE_CHECK(count >= 0, count, " places");
  std::vector<std::int64_t> counts(static_cast<std::size_t>(num_sources_));
  add_counts(root_, count, counts);
  return counts;
}

void MixtureSchedule::add_counts(int at, std::int64_t count,
                                 std::vector<std::int64_t>& counts) const {
  if (at < 0) {
    counts[static_cast<std::size_t>(~at)] = count;
    return;
  }
  const Node& node = nodes_[static_cast<std::size_t>(at)];
  const std::int64_t left = left_count(node, count);
  add_counts(node.left, left, counts);
  add_counts(node.right, count - left, counts);
}

}  // namespace hetmoe
