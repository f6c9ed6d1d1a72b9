#include "parallel/placement/cluster_speed.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <vector>

#include "core/base/check.h"

namespace hetmoe {
namespace {

/// Where a value lies on an axis: between `low` and `high`, `part` of the way in the logarithm.
struct AxisPosition {
  std::size_t low = 0;
  std::size_t high = 0;
  double part = 0;
  double beyond = 1;  ///< the value over the end of the axis that it lies outside of
};

AxisPosition position(const std::vector<std::int64_t>& axis, double value) {
  HETMOE_CHECK(!axis.empty(), "an axis of a speed table is empty");
  const auto first = static_cast<double>(axis.front()), last = static_cast<double>(axis.back());
  const std::size_t end = axis.size() - 1;
  if (value <= first) return {.beyond = value / first};
  if (value >= last) return {.low = end, .high = end, .beyond = value / last};
  const auto above = std::upper_bound(
      axis.begin(), axis.end(), value,
      [](double wanted, std::int64_t entry) { return wanted < static_cast<double>(entry); });
  const auto high = static_cast<std::size_t>(std::distance(axis.begin(), above));
  const auto from = static_cast<double>(axis[high - 1]), to = static_cast<double>(axis[high]);
  return {.low = high - 1, .high = high, .part = std::log(value / from) / std::log(to / from)};
}

double seconds_at(const ExpertProducts& products, const std::vector<double>& table,
                  std::int64_t hidden_size, double rows, std::int64_t width) {
  if (!(rows > 0) || width <= 0) return 0;
  const std::array<AxisPosition, 3> at = {
      position(products.hidden_sizes, static_cast<double>(hidden_size)),
      position(products.rows, rows), position(products.widths, static_cast<double>(width))};
  double log_seconds = 0;
  for (unsigned corner = 0; corner < 8; ++corner) {
    double weight = 1;
    std::array<std::size_t, 3> index{};
    for (std::size_t axis = 0; axis < 3; ++axis) {
      const bool high = (corner >> axis & 1U) != 0;
      index[axis] = high ? at[axis].high : at[axis].low;
      weight *= high ? at[axis].part : 1 - at[axis].part;
    }
    if (weight == 0) continue;
    const std::size_t entry =
        (index[0] * products.rows.size() + index[1]) * products.widths.size() + index[2];
    // Without this a grid point would come back rounded by its logarithm.
    if (weight == 1) return table[entry] * at[0].beyond * at[1].beyond * at[2].beyond;
    log_seconds += weight * std::log(table[entry]);
  }
  return std::exp(log_seconds) * at[0].beyond * at[1].beyond * at[2].beyond;
}

double rate_at(const RateCurve& curve, const std::vector<double>& rates, std::int64_t size) {
  const AxisPosition at = position(curve.sizes, static_cast<double>(size));
  return rates[at.low] + at.part * (rates[at.high] - rates[at.low]);
}

}  // namespace

double expert_forward_seconds(const Cluster& cluster, std::int64_t hidden_size, double rows,
                              std::int64_t width) {
  const ExpertProducts& products = cluster.expert_products;
  return seconds_at(products, products.forward_seconds, hidden_size, rows, width);
}

double expert_backward_seconds(const Cluster& cluster, std::int64_t hidden_size, double rows,
                               std::int64_t width) {
  const ExpertProducts& products = cluster.expert_products;
  return seconds_at(products, products.backward_seconds, hidden_size, rows, width);
}

double expert_backward_seconds(const Cluster& cluster, std::int64_t hidden_size, double rows,
                               std::int64_t width, Recompute recompute) {
  constexpr double kPartOfForward = 2.0 / 3;  // of its three products
  const double again = recompute == Recompute::kNone ? 0 : kPartOfForward;
  return expert_backward_seconds(cluster, hidden_size, rows, width) +
         again * expert_forward_seconds(cluster, hidden_size, rows, width);
}

double forward_rate(const RateCurve& curve, std::int64_t size) {
  return rate_at(curve, curve.forward_flops_per_second, size);
}

double backward_rate(const RateCurve& curve, std::int64_t size) {
  return rate_at(curve, curve.backward_flops_per_second, size);
}

double all_to_all_seconds(const Cluster& cluster, const RankTraffic& traffic) {
  const LinkSpeed& near = cluster.same_node;
  const LinkSpeed& far = cluster.other_node;
  return near.latency_seconds * traffic.same_node_peers +
         far.latency_seconds * traffic.other_node_peers +
         std::max(traffic.same_node_bytes / near.bytes_per_second,
                  traffic.other_node_bytes / far.bytes_per_second);
}

}  // namespace hetmoe
