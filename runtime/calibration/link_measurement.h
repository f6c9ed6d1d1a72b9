#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "parallel/communicator/communicator.h"
#include "parallel/placement/cluster.h"
#include "runtime/calibration/measurement.h"

namespace hetmoe {

/// Links between ranks. A kind that no two ranks have is empty.
struct MeasuredLinks {
  int ranks_per_node = 1;  ///< the most on one host
  std::optional<LinkSpeed> same_node;
  std::optional<LinkSpeed> other_node;
  LinkSpeed within_rank;  ///< of a message to oneself: what one rank alone can tell
};

/// Times all-to-alls between ranks of one host, then between ranks of different hosts: nearly empty
/// ones give the latency, those of `message_bytes` to each peer, less where a rank has so many
/// peers that its buffers would exceed 64 MiB, the bandwidth. All ranks of the world take part at
/// once, over the memory that `world` moves. hosts: of every rank (rank_hosts.h). Collective.
MeasuredLinks measure_links(Measurement& measurement, Communicator& world,
                            const std::vector<int>& hosts, std::int64_t message_bytes,
                            double seconds_per_point);

}  // namespace hetmoe
