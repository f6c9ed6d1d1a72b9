#pragma once

#include <memory>

#include "core/model/token_dispatcher.h"
#include "parallel/communicator/communicator.h"
#include "parallel/placement/placement.h"
#include "parallel/placement/rank_nodes.h"

namespace hetmoe {

/// A dispatcher that sends tokens where a placement says.
class PlacedTokenDispatcher : public TokenDispatcher {
 public:
  /// From the next dispatch on; no exchange may be under way. Every rank of the group, the same.
  virtual void follow(const Placement& placement) = 0;
};

/// Dispatch over any communicator. One row per (token, destination rank) goes out with the gates of
/// the slices that it concerns there; one accumulated row per (token, destination) returns. Of
/// replicas one serves a token (slice_servers.h).
/// Wire per dispatch: counts (2 int64 per pair of ranks), then 16 bytes per (token, slice), then
/// the rows in the compute type; combine: rows; backward: rows out, rows and one fp64 gate gradient
/// per (token, slice) back. bytes_sent leaves the counts out.
/// Where `nodes` have two levels, what goes to another node takes two hops, there and back: one row
/// per (token, node) crosses, to the rank of the same place (RankNodes::relay), which hands it on,
/// and sums what returns. Selections and gate gradients cross as many as above; counts are 4 int64.
/// The results are those of one hop up to rounding. bytes_sent counts every hop.
/// `group` (the expert group, this class of traffic alone) must outlive the dispatcher and every
/// exchange.
std::unique_ptr<PlacedTokenDispatcher> make_all_to_all_token_dispatcher(
    Communicator& group, const Placement& placement, const RankNodes& nodes = {});

}  // namespace hetmoe
