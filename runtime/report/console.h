#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/clock.h"
#include "runtime/metrics/training_record.h"
#include "runtime/report/summary.h"

namespace hetmoe {

/// How the console writes.
struct ConsoleOptions {
  bool terminal = false;      ///< rewrite one live line; else plain lines only
  double live_seconds = 0.2;  ///< least time between two live lines on a terminal
  double log_seconds = 10.0;  ///< least time between two step lines in a log
};

/// What a person sees of a training run. Rank 0 only. On a terminal the newest step is one line
/// rewritten in place (carriage return and clear to end, nothing else); in a file it is a plain
/// line now and then, always for the first and the last step. At most 100 columns, ASCII.
/// Does not own `out` nor `clock`; both must outlive it. A failed write is ignored: a closed
/// terminal must not end a run.
class Console {
 public:
  Console(std::FILE* out, const Clock& clock, const ConsoleOptions& options);
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  /// Before step 1. Takes the number of steps, from which the time left comes.
  void header(const RunSummary& summary);

  void step(const StepRecord& record);
  void evaluation(const EvaluationRecord& record);
  void rebalance(std::int64_t step, const RebalanceRecord& record);
  void saved(const SaveRecord& record);  ///< committed

  /// One line of its own, above the live line.
  void warning(std::string_view text);
  void note(std::string_view text);
  /// Lines as they stand, between empty ones.
  void block(std::string_view text);

  void finish(const FinalSummary& summary);

 private:
  void print(const std::string& text);
  void end_live_line();
  std::string step_text(const StepRecord& record) const;
  void learn_pace(const StepRecord& record);

  std::FILE* out_;
  const Clock& clock_;
  ConsoleOptions options_;
  std::int64_t steps_ = 0;
  std::optional<double> last_shown_seconds_;
  std::optional<double> last_step_at_seconds_;
  double seconds_per_step_ = 0;  ///< running mean, evaluation included
  std::string live_line_;        ///< what stands on the terminal's last line
};

/// Whether a stream is a terminal that understands a carriage return ("dumb" ones do not).
bool is_live_terminal(std::FILE* stream);

}  // namespace hetmoe
