#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "parallel/communicator/nccl_connection.h"

namespace hetmoe {

/// What NCCL is asked for and what is computed on the device, to be called by what
/// NcclConnection::start is given.

/// Bytes of the device's memory that go to a rank or come from it.
struct DevicePart {
  std::byte* pointer = nullptr;  ///< never written by a send
  std::int64_t size_bytes = 0;
};

/// sends[r] goes to rank r and receives[r] is filled by it; this rank's own is copied. Empty parts
/// cause no message. Peers are taken so many at a time as a group may hold, the same on all ranks.
void exchange(NcclConnection& connection, const OperationName& name,
              std::span<const DevicePart> sends, std::span<const DevicePart> receives);

void broadcast(NcclConnection& connection, const OperationName& name, DevicePart values, int root);

/// Gathers every rank's values in scratch memory and reduces them there, in rank order.
void reduce_gathered(NcclConnection& connection, const OperationName& name, Buffer values,
                     Reduction reduction);

struct PartedReduction {
  ConstBuffer send;                  ///< all parts, in rank order
  std::vector<std::int64_t> counts;  ///< elements of each part
  std::byte* receive = nullptr;      ///< this rank's part; may be its place in `send`
  Reduction reduction = Reduction::kSum;
  std::byte* gather = nullptr;  ///< all parts, in rank order; null: each rank keeps its own
};
/// Each rank sends its part r to rank r, chunk by chunk into the scratch memory of r, which reduces
/// them in rank order.
void reduce_parts(NcclConnection& connection, const OperationName& name,
                  const PartedReduction& request);

/// One collective of every kind, whose result nobody needs: NCCL takes its memory and connects the
/// ranks when it first needs them.
void touch_all_ranks(NcclConnection& connection, const OperationName& name);

}  // namespace hetmoe
