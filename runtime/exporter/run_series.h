#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/base/clock.h"
#include "runtime/coordinator/coordinator.h"

namespace hetmoe {

/// The series of the whole run, shown by its coordinator alone. Counters begin at 0 with the
/// process; gauges tell where the run is. Above 1,024 experts or layers those are not shown one by
/// one.
class RunSeries {
 public:
  /// The clock must outlive this.
  explicit RunSeries(const Clock& clock);
  ~RunSeries();
  RunSeries(const RunSeries&) = delete;
  RunSeries& operator=(const RunSeries&) = delete;

  // Any thread. What was already counted, such as a step that is reported again, is left out.
  void report(const StepReport& report);
  void committed(const CommittedCheckpoint& checkpoint);
  void commanded(CommandKind kind);
  /// `call`: name of a call; `result`: "ok" or why it was refused.
  void called(std::string_view call, std::string_view result);
  /// Who takes part, from the coordinator's own status; before each scrape.
  void describe(const CoordinatorStatus& status);

  std::string text() const;

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace hetmoe
