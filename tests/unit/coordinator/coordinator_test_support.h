#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "core/base/clock.h"
#include "runtime/coordinator/coordinator.h"

namespace hetmoe {

inline constexpr double kNotANumber = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Stands still until it is moved.
class HandClock final : public Clock {
 public:
  double monotonic_seconds() const override { return now; }
  double wall_seconds() const override { return now; }

  std::atomic<double> now = 1000;
};

inline Member member_of(int rank, std::int64_t generation = 1) {
  return {.run = "tiny-a", .generation = generation, .rank = rank};
}

/// Process 100 + rank on host n1.
inline JoinRequest join_of(int rank, int ranks, std::int64_t generation = 1) {
  return {.member = member_of(rank, generation),
          .ranks = ranks,
          .host = "n1",
          .process = 100 + rank,
          .metrics_address = "n1:9000"};
}

inline Heartbeat beat_of(int rank, std::int64_t step = 1, std::int64_t collective = 0) {
  return {.member = member_of(rank),
          .step = step,
          .phase = "training",
          .collective_sequence = collective,
          .collective = "all_to_all"};
}

inline StepReport step_of(std::int64_t step) {
  StepReport report{.member = member_of(0)};
  report.record.step = step;
  report.record.loss = 2.5;
  return report;
}

inline PreparedShard shard_of(int rank, std::int64_t step, const std::string& configuration = "c") {
  return {.member = member_of(rank),
          .step = step,
          .configuration_digest = configuration,
          .files = {{.name = "rank-" + std::to_string(rank) + ".safetensors",
                     .bytes = 64,
                     .digest = "xxh3-128:" + std::string(32, 'a')}}};
}

inline CommittedCheckpoint commit_of(std::int64_t step) {
  return {
      .member = member_of(0), .step = step, .bytes = 128, .seconds = 0.5, .wall_seconds = 1.75e9};
}

/// The CoordinatorError that `action` throws.
template <typename Action>
std::optional<CoordinatorError> error_of(Action&& action) {
  try {
    std::forward<Action>(action)();
  } catch (const CoordinatorError& error) {
    return error;
  }
  return std::nullopt;
}

/// The fault of it; nothing when there is none.
template <typename Action>
std::optional<CoordinatorFault> fault_of(Action&& action) {
  const auto error = error_of(std::forward<Action>(action));
  if (!error) return std::nullopt;
  return error->fault();
}

}  // namespace hetmoe
