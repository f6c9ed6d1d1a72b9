#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/profile/step_recording.h"

namespace hetmoe {

/// How fast this rank could be, measured while the others were busy too.
struct Roofline {
  double flops_per_second = 0;  ///< one product of 2048 x 1024 x 2048, as all benchmarks have it
  double bytes_per_second = 0;  ///< read and written by a copy
};

/// What one kind of operation took in one phase, by step.
struct ProfileLine {
  std::string phase;
  std::string operation;  ///< "(not told)": what no operation of the phase accounts for
  double calls = 0;
  double seconds = 0;  ///< without operations within it
  Work work;

  /// Beyond what its operations would take at the peak rate: these sum to what lies between a step
  /// and the peak.
  double seconds_over_peak(const Roofline& roofline) const;
  /// Of the bound by operations or bytes, whichever is higher; 0 where no work is told.
  double share_of_roofline(const Roofline& roofline) const;
};

/// Mean over recorded steps.
struct StepProfile {
  std::int64_t first_step = 0;
  std::int64_t last_step = 0;
  double step_seconds = 0;
  std::vector<ProfileLine> lines;  ///< phases in their order, in each the longest first
};

/// `recorded` must not be empty. What lies between phases comes last, as phase "between".
StepProfile profile_of(const std::vector<RecordedStep>& recorded);

/// What the heading of a table needs beside the profile.
struct ProfileSubject {
  int rank = 0;
  int ranks = 1;
  std::string precision;
  int threads = 1;
  double tokens = 0;       ///< of all ranks in a step
  double model_flops = 0;  ///< of all ranks in a step
};

/// A table for people, at most 100 columns wide.
std::string profile_table(const StepProfile& profile, const ProfileSubject& subject,
                          const Roofline& roofline);

/// Trace events in Chrome's JSON format (chrome://tracing, ui.perfetto.dev): steps, phases and
/// operations of one rank, which is the process.
std::string chrome_trace(const std::vector<RecordedStep>& recorded, const ProfileSubject& subject);

}  // namespace hetmoe
