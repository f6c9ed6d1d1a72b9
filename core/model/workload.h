#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/model/model_config.h"

namespace hetmoe {

/// Ways in which routing can load experts and ranks, for measurements and simulation.
enum class WorkloadKind : std::uint8_t {
  kW0,  ///< balanced: every expert gets the same number of tokens
  kW1,  ///< some hot experts, others per layer
  kW2,  ///< a hot rank: the experts that a contiguous placement puts together are hot
  kW3,  ///< spread heat: log-normal popularity over all experts
  kW4,  ///< ragged sources: ranks with different token counts, popularity as in W3
  kW5,  ///< experts and ranks with nothing
  kW6,  ///< a hot spot that rotates over the experts
  kW7,  ///< bursts: balanced but for some steps
};

/// "W0" .. "W7"; ConfigError lists the names.
WorkloadKind workload_of(const std::string& name);
std::string workload_name(WorkloadKind kind);

/// Which experts each token takes when a workload decides and not the router. A pure function of
/// (kind, experts, top_k, seed) and its arguments, whoever asks: the same on every rank, whatever
/// the number of ranks.
/// Shares are parts of all selections. No expert's expected share exceeds the cap, min(1/2,
/// 1/top_k), unless there are too few experts for it (one expert takes all).
/// Tables of the layers asked for are kept (32 to 128 KiB each): for several threads take copies.
class Workload {
 public:
  /// 1 <= top_k <= experts. Cost: some ten thousand random numbers.
  Workload(WorkloadKind kind, int experts, int top_k, std::uint64_t seed);

  /// The top_k different experts of one token, ascending. `step` counts from 1 (0: outside of
  /// training), `token` is the index in the step's global batch.
  /// Cost: 0.1 us for 2 of 8 experts, 0.8 us for 8 of 256; the first call of a layer, and of W6 and
  /// W7 when the hot expert changes, about 0.1 ms.
  void select(int layer, std::int64_t step, std::int64_t token,
              std::span<std::int32_t> experts) const;

  /// Expected share of every expert in a layer at a step; sums to 1. Allocates.
  std::vector<double> expected_shares(int layer, std::int64_t step) const;

 private:
  /// Cumulative inclusion probabilities of one layer in each of the orders.
  struct Table {
    std::int64_t phase = -1;  ///< none yet
    std::vector<std::uint64_t> cumulative;
  };

  std::int64_t phase_of(std::int64_t step) const;
  bool is_even(std::int64_t step) const;
  std::vector<double> weights(int layer, std::int64_t phase) const;
  const Table& table_of(int layer, std::int64_t step) const;
  void take_in_turn(std::uint64_t row, std::int64_t token, std::span<std::int32_t> experts) const;
  std::size_t order_of(std::uint64_t bits) const;

  WorkloadKind kind_;
  int experts_;
  int top_k_;
  CounterRandom popularity_;
  CounterRandom tokens_;
  std::vector<std::int32_t> orders_;   ///< [number of orders, experts], random permutations
  mutable std::vector<Table> tables_;  ///< by layer
};

/// The workload that model.router.forced names; none for "none".
std::optional<Workload> forced_workload(const ModelConfig& model, std::uint64_t seed);

/// How many sequences each rank reads, relative to the others: equal but for W4 and W5.
std::vector<double> source_weights(WorkloadKind kind, int ranks);

}  // namespace hetmoe
