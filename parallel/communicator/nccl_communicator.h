#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "core/gpu/launch.h"
#include "parallel/communicator/communicator.h"
#include "parallel/communicator/device_groups.h"

namespace hetmoe {

struct NcclOptions {
  /// What the calling thread computes on. Asked by each start and each wait, for both may be on
  /// different threads; all of them on the device that was current when the group was made.
  std::function<gpu::Stream()> compute_stream;
  /// Knows the timeout. Must outlive the communicators and what they have started.
  DeviceGroups* groups = nullptr;
  /// NCCL takes 2048 operations in one group; a peer is two. Equal on all ranks.
  int peers_in_a_group = 512;
  /// The device's memory for reductions, of each group. Equal on all ranks, at least 64 a rank.
  std::int64_t scratch_bytes = std::int64_t{32} << 20;
};

/// A communicator over the device's memory, of the ranks of `control`, which works on the host's,
/// is taken over, and carries what hosts say to each other: barriers, splits, NCCL's id.
/// Collective. Blocking: connects every pair of ranks by a dummy collective, so make it at the
/// start, while memory is free. Nothing of it waits for the whole device.
/// Starting a collective: it begins when all has been done that the compute stream was given
/// before. Errors: CommunicationError, naming operation, rank and NCCL's own text; a failed group
/// stays failed. DeviceMemoryError.
std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<Communicator> control,
                                                     const NcclOptions& options);

}  // namespace hetmoe
