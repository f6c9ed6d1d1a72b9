#pragma once

namespace hetmoe::emulation {

/// What NCCL's double saw in this process, since its start.
struct ObservedNccl {
  int created = 0;  ///< communicators, also those that never became ready
  int destroyed = 0;
  int aborted = 0;
  int launches = 0;         ///< groups, and calls outside of one
  int most_operations = 0;  ///< sends and receives of one group
};
ObservedNccl& observed_nccl();

/// What the real one reports between calls: every communicator of this process fails so from now
/// on, and what it has on streams stays there until it is aborted.
void fail_asynchronously(int code);

/// Groups of more sends and receives than that fail; NCCL allows 2048.
void limit_group_operations(int operations);

}  // namespace hetmoe::emulation
