#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/clock.h"
#include "parallel/communicator/communicator.h"
#include "parallel/placement/rebalance_decision.h"
#include "runtime/metrics/training_record.h"
#include "runtime/run_config.h"
#include "runtime/trainer/measured_step.h"

namespace hetmoe {

/// Watches the loads, asks every `placement.every` steps whether slices should move, and measures
/// what a move has brought. What it gathers is the same on every rank; rank 0 decides and the
/// others take its plan.
class Rebalancing {
 public:
  /// `problem` is that of one expert group: it holds the limits, and on rank 0 the cluster where
  /// one is configured; its loads and current placement are filled in here. `control` is the world;
  /// it, `clock` and the configuration must outlive this.
  Rebalancing(const RunConfig& config, PlanProblem problem, Communicator& control,
              const Clock& clock);

  /// After every step.
  void add_step(const StepOutcome& outcome, const MeasuredStep& measured);

  /// Whether to look after this step: never in groups of one rank, with a plan file as strategy, or
  /// after the last step; with placement.every 0 only when it is asked for.
  bool is_due(std::int64_t step, bool is_asked_for = false) const;

  /// The plan to move to, if moving pays; a new window begins. Collective, blocking: rank 0 plans.
  std::optional<Plan> look(std::int64_t step, const Placement& current);

  /// After the move that `look` asked for, which took `seconds` on this rank. Collective.
  RebalanceRecord moved(double seconds);

  /// Seconds of a step that experts and their exchange take under this placement and the loads seen
  /// last (uniform ones before the first step), by the configured cluster; 0 without one, and on
  /// other ranks than rank 0. To be compared with the phases dispatch_wait, expert and
  /// combine_wait.
  double predicted_expert_seconds(const Placement& placement) const;

  /// What the last move has brought, once per move: when a window is over, or the run.
  std::optional<RebalanceGain> take_gain();

 private:
  /// What was seen since a look.
  struct Window {
    std::int64_t steps = 0;
    Loads tokens;               ///< [layers][experts] sums over its steps
    double expert_seconds = 0;  ///< sum of means over ranks
    double token_units = 0;     ///< tokens times hidden units, a rank's mean
    std::vector<double> step_seconds;
  };

  bool can_move() const;
  /// The problem under the mean loads of these steps: what one group routes in a step.
  PlanProblem problem_under(const Window& seen) const;
  RebalanceQuestion question(std::int64_t step, const Placement& current) const;
  RebalanceAnswer decide(std::int64_t step, const Placement& current);

  const RunConfig& config_;
  PlanProblem problem_;
  Communicator& control_;
  int groups_;  ///< expert groups
  const Clock& clock_;
  std::vector<std::int64_t> widths_;
  Window window_;   ///< since the last look
  Window earlier_;  ///< before it; in the first window its first half
  bool has_looked_ = false;
  MovePrice price_;
  RebalanceRecord record_;             ///< of the last answer
  std::optional<RebalanceGain> gain_;  ///< of the last move, until it is taken
  double seconds_before_ = 0;          ///< median step of the window before the last move
};

}  // namespace hetmoe
