#pragma once

#include <string>

#include "core/base/clock.h"
#include "core/data/prepare.h"

namespace hetmoe {

/// What `data prepare` says of its progress: share of the input's bytes, MB/s, documents, tokens
/// and the time left. A terminal sees one line that is written again, at most five times a second;
/// a log file gets a line when a stage begins and every ten seconds.
class PrepareProgressLine {
 public:
  PrepareProgressLine(const Clock& clock, bool is_terminal)
      : clock_(clock), is_terminal_(is_terminal) {}

  /// What is to be written now, with line ends and control characters; often nothing.
  std::string next(const PrepareProgress& progress);
  /// What ends the line of a terminal.
  std::string end() const { return is_terminal_ && !stage_.empty() ? "\n" : ""; }

 private:
  std::string text_of(const PrepareProgress& progress) const;

  const Clock& clock_;
  bool is_terminal_;
  std::string stage_;
  double stage_seconds_ = 0;      ///< when the stage began
  std::int64_t stage_bytes_ = 0;  ///< read before it began: what was done before a resume
  double shown_seconds_ = 0;
};

}  // namespace hetmoe
