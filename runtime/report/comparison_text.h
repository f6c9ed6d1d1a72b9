#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>

namespace hetmoe {

/// A run beside others, for people. What is not known is not a number and shown as "-".
struct ComparedRun {
  std::string name;
  std::string state;
  std::int64_t steps = 0;
  double held_out_loss = std::numeric_limits<double>::quiet_NaN();  ///< the last, nats per token
  double bits_per_byte = std::numeric_limits<double>::quiet_NaN();  ///< of the same evaluation
  double tokens_per_second = std::numeric_limits<double>::quiet_NaN();  ///< median, all ranks
  double active_parameters = std::numeric_limits<double>::quiet_NaN();  ///< per token, measured
};

/// A table, a line per run in the order given; ends in a newline. ASCII; control characters and
/// bytes beyond ASCII of a name become '?'.
std::string comparison_text(std::span<const ComparedRun> runs);

}  // namespace hetmoe
