#pragma once

#include <memory>

#include "core/model/gpu_token_dispatcher.h"
#include "parallel/communicator/communicator.h"
#include "parallel/placement/placement.h"
#include "parallel/placement/rank_nodes.h"

namespace hetmoe {

/// A dispatcher on a GPU that sends tokens where a placement says.
class PlacedGpuTokenDispatcher : public GpuTokenDispatcher {
 public:
  /// From the next dispatch on; no exchange may be under way. Every rank of the group, the same.
  virtual void follow(const Placement& placement) = 0;
};

/// Dispatch over a communicator of the devices' memory. As the host's
/// (all_to_all_token_dispatcher.h) one row per (token, destination rank) goes out and one returns;
/// who goes where is worked out on the GPU. Of replicas one serves a token, as gpu/dispatch.h says.
/// Collective: starts and finishes, by all ranks of the group in the same order. Blocking: the host
/// waits once, in the first finish_dispatch, for its own device and its peers' counts.
/// `parts` (1 or more): in so many a rank's tokens travel, whatever their number; in fewer where a
/// layer has more slices than can be told apart in each. What a token gets does not depend on it
/// but for rounding: products of fewer rows may be other kernels'. Wire per dispatch: counts (4
/// bytes for each slice and for each pair of ranks, for every part), then part by part 12 bytes per
/// (token, slice) and the rows in the compute type; combine: rows; backward: rows out, rows and one
/// fp32 gate gradient per (token, slice) back. bytes_sent leaves the counts out, and tells by
/// `nodes` what went to others; all rows go straight to their ranks. `group` (the expert group,
/// this class of traffic alone) must outlive the dispatcher and every exchange. Without CUDA built
/// in: a broken invariant.
std::unique_ptr<PlacedGpuTokenDispatcher> make_all_to_all_gpu_token_dispatcher(
    Communicator& group, const Placement& placement, int parts, const RankNodes& nodes = {});

}  // namespace hetmoe
