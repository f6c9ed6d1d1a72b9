#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "parallel/placement/planner.h"
#include "runtime/metrics/run_history.h"

namespace hetmoe {

/// Numbers that a line did not give are not a number.
inline constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

/// The phases of a step as metrics.jsonl names them.
inline constexpr std::array<std::string_view, 10> kPhaseNames = {
    "data",     "forward",   "dispatch_wait", "expert",     "combine_wait",
    "backward", "gradients", "optimizer",     "parameters", "other"};

/// A training line.
struct StoryStep {
  std::int64_t step = 0;
  int generation = 0;
  double tokens = kUnknown;  ///< seen so far
  double loss = kUnknown;
  double parameter_penalty = kUnknown;
  double load_balance = kUnknown;
  double router_entropy = kUnknown;
  double grad_norm = kUnknown;
  double learning_rate = kUnknown;
  double skipped = kUnknown;
  double step_seconds = kUnknown;
  double tokens_per_second = kUnknown;
  double model_flops_per_second = kUnknown;
  std::array<double, kPhaseNames.size()> phase_seconds{};
  double flops_max_over_mean = kUnknown;
  double bytes_all_to_all = kUnknown;
  double memory_bytes = kUnknown;         ///< largest resident size of any rank so far
  std::vector<double> expert_tokens;      ///< [E], summed over layers; empty: not given
  std::vector<double> rank_expert_flops;  ///< [N], of all layers; empty: not given
};

struct StoryEvaluation {
  std::int64_t step = 0;
  double loss = kUnknown;
  double bits_per_byte = kUnknown;
};

/// Slices that moved after a step.
struct StoryRebalance {
  std::int64_t step = 0;
  double predicted_gain_seconds = kUnknown;
  double measured_gain_seconds = kUnknown;
  double measured_steps = kUnknown;
  double planning_seconds = kUnknown;
  double moving_seconds = kUnknown;
  double moving_bytes = kUnknown;
  double flops_max_over_mean_before = kUnknown;
  double flops_max_over_mean_after = kUnknown;
};

struct StorySave {
  std::int64_t step = 0;
  double time = kUnknown;  ///< seconds since 1970
  double bytes = kUnknown;
  double seconds = kUnknown;
  double blocked_seconds = kUnknown;
};

/// A generation of the run: one start, to its end or the next start.
struct StoryStart {
  int generation = 0;
  double time = kUnknown;      ///< seconds since 1970
  double end_time = kUnknown;  ///< of its last event
  std::int64_t first_step = 0;
  std::int64_t last_step = 0;  ///< that it has written; less than first_step: none
  int ranks = 0;               ///< 0: unknown
  std::string precision;
  std::string end;  ///< "finished", "stopped: ...", what was lost; empty: no word
};

/// What went otherwise than planned, or was asked for.
struct StoryIncident {
  double time = kUnknown;  ///< seconds since 1970
  int generation = 0;
  std::int64_t step = 0;
  std::string event;
  std::string details;
};

enum class RunState { kRunning, kFinished, kStopped, kFailed, kLost };
std::string_view run_state_name(RunState state);

/// What exit.json says.
struct StoryEnd {
  int code = 0;
  std::string reason;
};

/// All that the files of a run directory tell, as plain values. Texts are as they stood in the
/// files: whoever shows them escapes them.
struct RunStory {
  std::string name;  ///< of the folder
  RunState state = RunState::kLost;
  std::string state_reason;
  std::vector<std::pair<std::string, std::string>> config;  ///< "train.steps", as written
  std::vector<std::int64_t> widths;                         ///< of the experts; empty: unknown

  std::vector<StoryStep> steps;  ///< by step, the last line of each
  std::vector<StoryEvaluation> evaluations;
  std::int64_t repeated_steps = 0;  ///< training lines that a later generation has replaced
  double repeated_seconds = 0;

  std::vector<StoryStart> starts;
  std::vector<StoryRebalance> rebalances;  ///< but those that a restart has undone
  std::vector<StorySave> saves;
  std::vector<StoryIncident> incidents;  ///< the newest of them
  std::size_t num_incidents = 0;
  double end_time = kUnknown;  ///< seconds since 1970: now for a run that goes on

  RunHistory history;
  std::optional<Plan> plan;

  /// What could not be read, a line for people each.
  std::vector<std::string> passed_over;

  /// Value of a configuration key as written; empty: not there.
  std::string config_value(std::string_view key) const;
  /// Of the newest start that says it, else of the plan; 0: unknown.
  int ranks() const;
};

}  // namespace hetmoe
