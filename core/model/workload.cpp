#include "core/model/workload.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numeric>

#include "core/base/check.h"
#include "core/base/error.h"

namespace hetmoe {
namespace {

constexpr std::array<const char*, 8> kNames = {"W0", "W1", "W2", "W3", "W4", "W5", "W6", "W7"};
constexpr std::uint64_t kOne = std::uint64_t{1} << 32;  ///< probability 1 of being selected
constexpr std::size_t kOrderElements = 8192;
constexpr std::int64_t kStepsOfHotSpot = 10;
constexpr std::uint64_t kStepsPerBurst = 8;
constexpr double kPopularitySigma = 0.7;
constexpr double kHotShare = 0.5;      ///< W1, W2: of all hot experts together
constexpr double kHotSpotHeat = 0.75;  ///< W6: how far from the even share to the cap
constexpr double kBurstHeat = 0.95;    ///< W7, likewise

/// Rows of the popularity stream.
enum Row : std::uint64_t { kHotSpotStart, kBurst, kFirstLayer };

/// The largest expected share an expert may have.
double cap(int experts, int top_k) { return std::max(std::min(0.5, 1.0 / top_k), 1.0 / experts); }

/// `count` numbers below `count`, shuffled by keys of row `row`.
std::vector<std::int32_t> shuffled(const CounterRandom& random, std::uint64_t row, int count) {
  std::vector<std::int32_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  for (int left = count; left > 1; --left) {
    std::swap(order[left - 1], order[random.bits(row, left) % left]);
  }
  return order;
}

/// Shares in proportion to the weights, none above the cap: what it cuts off goes to the others
/// that have a weight, in proportion.
std::vector<double> capped_shares(std::vector<double> weights, double cap) {
  std::vector<double> shares(weights.size(), 0.0);
  double left = 1.0;
  for (;;) {
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    if (sum <= 0) return shares;
    const auto over = [&](double weight) { return weight > 0 && weight * left >= cap * sum; };
    const auto number = std::count_if(weights.begin(), weights.end(), over);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (number == 0) shares[i] += weights[i] / sum * left;
      if (number == 0 || !over(weights[i])) continue;
      shares[i] = cap;
    }
    if (number == 0) return shares;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (shares[i] == cap) weights[i] = 0;
    }
    left -= static_cast<double>(number) * cap;
  }
}

/// Probabilities of being selected as integers that sum to top_k * kOne, none above kOne.
std::vector<std::uint64_t> inclusion(const std::vector<double>& shares, int top_k) {
  std::vector<std::uint64_t> parts;
  std::uint64_t left = static_cast<std::uint64_t>(top_k) * kOne;
  for (const double share : shares) {
    const double part = std::min(share * top_k, 1.0) * static_cast<double>(kOne);
    parts.push_back(std::min(static_cast<std::uint64_t>(part), left));
    left -= parts.back();
  }
  // Rounding, a few units; experts without a share stay without.
  for (std::size_t i = 0; i < parts.size() && left > 0; ++i) {
    if (parts[i] == 0) continue;
    const std::uint64_t more = std::min(left, kOne - parts[i]);
    parts[i] += more;
    left -= more;
  }
  HETMOE_CHECK(left == 0, "fewer experts with a share than top_k ", top_k);
  return parts;
}

std::vector<double> one_hot_weights(int experts, std::uint64_t hot, double share) {
  if (experts == 1) return {1.0};
  std::vector<double> weights(experts, (1.0 - share) / (experts - 1));
  weights[hot] = share;
  return weights;
}

/// Weights under which the first `hot` experts of `order` together have kHotShare.
std::vector<double> hot_weights(std::span<const std::int32_t> order, int hot) {
  const int cold = static_cast<int>(order.size()) - hot;
  std::vector<double> weights(order.size(), cold > 0 ? (1.0 - kHotShare) / cold : 1.0);
  for (int i = 0; i < hot; ++i) weights[order[i]] = kHotShare / hot;
  return weights;
}

}  // namespace

WorkloadKind workload_of(const std::string& name) {
  const auto found = std::find(kNames.begin(), kNames.end(), name);
  if (found == kNames.end()) {
    throw ConfigError("workload " + name + ", allowed: W0, W1, W2, W3, W4, W5, W6, W7");
  }
  return static_cast<WorkloadKind>(found - kNames.begin());
}

std::string workload_name(WorkloadKind kind) { return kNames.at(static_cast<std::size_t>(kind)); }

Workload::Workload(WorkloadKind kind, int experts, int top_k, std::uint64_t seed)
    : kind_(kind),
      experts_(experts),
      top_k_(top_k),
      popularity_(seed, "workload.popularity"),
      tokens_(seed, "workload.tokens") {
  HETMOE_CHECK(top_k >= 1 && top_k <= experts, "top_k ", top_k, " of ", experts, " experts");
  const CounterRandom random(seed, "workload.orders");
  const std::size_t orders =
      std::bit_floor(std::clamp<std::size_t>(kOrderElements / experts, 16, 512));
  for (std::size_t i = 0; i < orders; ++i) {
    const auto order = shuffled(random, i, experts);
    orders_.insert(orders_.end(), order.begin(), order.end());
  }
}

std::int64_t Workload::phase_of(std::int64_t step) const {
  if (kind_ == WorkloadKind::kW6) return std::max<std::int64_t>(step - 1, 0) / kStepsOfHotSpot;
  return kind_ == WorkloadKind::kW7 ? step : 0;
}

bool Workload::is_even(std::int64_t step) const {
  if (kind_ == WorkloadKind::kW0) return true;
  return kind_ == WorkloadKind::kW7 && popularity_.bits(kBurst, step) % kStepsPerBurst != 0;
}

std::vector<double> Workload::weights(int layer, std::int64_t phase) const {
  const std::uint64_t row = kFirstLayer + layer;
  const double even = 1.0 / experts_;
  const double room = cap(experts_, top_k_) - even;
  const auto experts = static_cast<std::uint64_t>(experts_);
  std::vector<double> weights(experts, 1.0);
  switch (kind_) {
    case WorkloadKind::kW0:
      break;
    case WorkloadKind::kW1:
      return hot_weights(shuffled(popularity_, row, experts_), std::max(1, (experts_ + 4) / 8));
    case WorkloadKind::kW2: {
      std::vector<std::int32_t> order(experts);
      std::iota(order.rbegin(), order.rend(), 0);
      return hot_weights(order, std::max(1, experts_ / 4));
    }
    case WorkloadKind::kW3:
    case WorkloadKind::kW4: {
      std::vector<float> normal(experts);
      popularity_.fill_normal(row, kPopularitySigma, normal);
      for (std::size_t i = 0; i < experts; ++i) weights[i] = std::exp(normal[i]);
      break;
    }
    case WorkloadKind::kW5: {
      // Those that are left must suffice for top_k, and one alone would be above the cap.
      const auto order = shuffled(popularity_, row, experts_);
      const int live = std::min(experts_, std::max({top_k_, 2, experts_ - experts_ / 2}));
      for (int i = live; i < experts_; ++i) weights[order[i]] = 0;
      break;
    }
    case WorkloadKind::kW6: {
      const std::uint64_t hot = (popularity_.bits(kHotSpotStart, 0) % experts + phase) % experts;
      return one_hot_weights(experts_, hot, even + kHotSpotHeat * room);
    }
    case WorkloadKind::kW7: {
      const std::uint64_t hot = popularity_.bits(row, phase) % experts;
      return one_hot_weights(experts_, hot, even + kBurstHeat * room);
    }
  }
  return weights;
}

std::vector<double> Workload::expected_shares(int layer, std::int64_t step) const {
  if (is_even(step)) return std::vector<double>(experts_, 1.0 / experts_);
  return capped_shares(weights(layer, phase_of(step)), cap(experts_, top_k_));
}

const Workload::Table& Workload::table_of(int layer, std::int64_t step) const {
  if (static_cast<std::size_t>(layer) >= tables_.size()) tables_.resize(layer + 1);
  Table& table = tables_[layer];
  if (table.phase == phase_of(step)) return table;
  table.phase = phase_of(step);
  table.cumulative.resize(orders_.size());
  const auto parts = inclusion(expected_shares(layer, step), top_k_);
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < orders_.size(); ++i) {
    sum = (i % experts_ == 0 ? 0 : sum) + parts[orders_[i]];
    table.cumulative[i] = sum;
  }
  return table;
}

std::size_t Workload::order_of(std::uint64_t bits) const {
  return (bits >> 32) % (orders_.size() / experts_) * experts_;
}

// Rounds of tokens that together take every expert equally often, in an order of their own, so
// that any range of tokens is even up to a round.
void Workload::take_in_turn(std::uint64_t row, std::int64_t token,
                            std::span<std::int32_t> experts) const {
  const std::int64_t round = experts_ / std::gcd(experts_, top_k_);
  const std::uint64_t bits = tokens_.bits(row, token / round);
  const std::int32_t* order = &orders_[order_of(bits)];
  const auto start = static_cast<std::int64_t>((bits & (kOne - 1)) % experts_);
  const std::int64_t first = start + token % round * top_k_;
  for (int i = 0; i < top_k_; ++i) experts[i] = order[(first + i) % experts_];
}

// Systematic sampling in a random order: with the probabilities laid end to end, the experts at
// u, u + 1, ... for one uniform u in [0, 1). No probability exceeds 1, so they differ, and each
// expert is selected with exactly its probability.
void Workload::select(int layer, std::int64_t step, std::int64_t token,
                      std::span<std::int32_t> experts) const {
  HETMOE_CHECK(layer >= 0 && experts.size() == static_cast<std::size_t>(top_k_), "layer ", layer,
               ", room for ", experts.size(), " experts of ", top_k_);
  const std::uint64_t row = static_cast<std::uint64_t>(step) << 20 | static_cast<unsigned>(layer);
  if (is_even(step)) {
    take_in_turn(row, token, experts);
  } else {
    const std::uint64_t bits = tokens_.bits(row, token);
    const std::size_t first = order_of(bits);
    const std::uint64_t* begin = &table_of(layer, step).cumulative[first];
    std::uint64_t place = bits & (kOne - 1);
    for (std::int32_t& expert : experts) {
      expert = orders_[first + (std::upper_bound(begin, begin + experts_, place) - begin)];
      place += kOne;
    }
  }
  std::sort(experts.begin(), experts.end());
}

std::optional<Workload> forced_workload(const ModelConfig& model, std::uint64_t seed) {
  if (model.router.forced == "none") return std::nullopt;
  return Workload(workload_of(model.router.forced), model.experts.count, model.router.top_k, seed);
}

std::vector<double> source_weights(WorkloadKind kind, int ranks) {
  std::vector<double> weights(ranks, 1.0);
  for (int rank = 1; rank < ranks; rank += 2) {
    if (kind == WorkloadKind::kW4) weights[rank] = 3;
    if (kind == WorkloadKind::kW5) weights[rank] = 0;
  }
  return weights;
}

}  // namespace hetmoe
