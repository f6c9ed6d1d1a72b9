#pragma once

#include <cstddef>
#include <cstdint>

#include "core/gpu/launch.h"
#include "parallel/communicator/communicator.h"

namespace hetmoe::gpu {

/// reduce_in_rank_order for memory of the device. The values of rank r lie at slots + r *
/// slot_bytes, except those of `own_rank`, which lie at `own`; slots and addresses are multiples of
/// an element. 16 bytes are read at once where all addresses allow it.
struct RankOrderSum {
  DataType type = DataType::kFloat32;  ///< fp32, fp64 or int64
  Reduction reduction = Reduction::kSum;
  const std::byte* slots = nullptr;
  std::int64_t slot_bytes = 0;
  const std::byte* own = nullptr;
  int own_rank = 0;
  int ranks = 1;
  std::byte* destination = nullptr;  ///< may be `own`, or a slot
  std::int64_t count = 0;            ///< elements
};

/// Starts it on the stream: the same bits as reduce_in_rank_order, up to which NaN a sum of NaN is.
void rank_order_sum(const RankOrderSum& sum, Stream stream);

}  // namespace hetmoe::gpu
