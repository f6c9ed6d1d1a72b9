#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "runtime/metrics/training_record.h"

namespace hetmoe {

/// One step as one rank saw it.
struct RankStep {
  std::int64_t step = 0;
  double step_seconds = 0;
  PhaseSeconds phases;  ///< without `other`
  StepBytes bytes;      ///< sent by this rank
  double expert_flops = 0;
  std::int64_t memory_bytes = 0;         ///< largest resident size so far
  std::int64_t device_memory_bytes = 0;  ///< most held of its GPU so far; 0: it has none
  /// [layers][experts]: tokens that selected the expert, all ranks; not owned, null: no such
  /// detail.
  const std::vector<std::vector<std::int64_t>>* load = nullptr;
};

/// The series of one rank: what differs between ranks. All begin with hetmoe_rank_, but for
/// hetmoe_layer_expert_tokens_total, which one rank shows for all.
class RankSeries {
 public:
  /// The clock must outlive this.
  explicit RankSeries(const Clock& clock);
  ~RankSeries();
  RankSeries(const RankSeries&) = delete;
  RankSeries& operator=(const RankSeries&) = delete;

  /// After every step. Cost: some twenty atomic additions.
  void add(const RankStep& step);
  /// Whether the coordinator answers.
  void set_coordinator_reached(bool is_reached);

  /// Any thread.
  std::string text() const;

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace hetmoe
