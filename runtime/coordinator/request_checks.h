#pragma once

#include <string>
#include <string_view>

#include "runtime/coordinator/coordinator.h"

namespace hetmoe {

/// Refuses what is out of its bounds (limits.h), whoever sent it and whatever the run is: texts
/// that are too long or would not be one line, numbers below or above what they can be, times,
/// bytes and rates that are negative or no numbers. Losses, auxiliary terms and the gradient's norm
/// may be NaN or infinite: a step that was skipped for them is reported too. In a member only a
/// join may leave the generation at 0. Errors: CoordinatorError (kInvalid) that names the call, the
/// field, the value and what is allowed.
void check_bounds(const JoinRequest& request);
void check_bounds(const Heartbeat& heartbeat);
void check_bounds(const StepReport& report);
void check_bounds(const PreparedShard& shard);
void check_bounds(const CommittedCheckpoint& checkpoint);
void check_bounds(CommandKind kind);

/// UTF-8, up to 255 bytes, not empty, without control characters: what a run may be called.
bool is_run_name(std::string_view text);

/// A foreign text for a message: quoted, in one line of ASCII, its beginning if it is long.
std::string shown_text(std::string_view text);

}  // namespace hetmoe
