#pragma once

#include <optional>
#include <string>

#include "launcher/coordinator_target.h"
#include "runtime/report/coordinator_text.h"
#include "runtime/report/live_block.h"

namespace hetmoe {

/// How to show.
struct StatusViewOptions {
  bool json = false;
  bool repeated = false;  ///< one after another: redrawn on a terminal, parted by a line elsewhere
};

/// Writes a run's state to standard output, again and again.
class StatusView {
 public:
  /// The target must outlive it.
  StatusView(const CoordinatorTarget& target, const StatusViewOptions& options);

  /// What the coordinator says.
  void show(const CoordinatorStatus& status);
  /// The coordinator did not answer: what the run's files tell, and on standard error, once until
  /// it answers again, that they do. An ended run has no coordinator, which is nothing to tell.
  void show_files(const CoordinatorError& error);

  /// How the run ended, as was shown last.
  const std::optional<RunEnd>& end() const { return end_; }
  /// Whether somebody still reads.
  bool is_read() const;

 private:
  RunSurroundings look_around();
  void print(const std::string& text);

  const CoordinatorTarget& target_;
  StatusViewOptions options_;
  bool is_live_ = false;
  bool is_away_ = false;
  std::optional<RunEnd> end_;
  LiveBlock block_;
};

}  // namespace hetmoe
