#include "runtime/calibration/link_measurement.h"

#include <ATen/ops/full.h>

#include <algorithm>
#include <functional>
#include <map>

#include "core/tensor/device.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kSmallBytes = 8;
constexpr std::int64_t kMostBytesOfRank = 64
                                          << 20;  // each way: a buffer must not grow with the world
constexpr std::int64_t kLeastMessageBytes = 4 << 10;  // below it all is latency

std::int64_t bytes_to_peer(std::int64_t message_bytes, int peers) {
  return std::min(message_bytes, std::max(kMostBytesOfRank / peers, kLeastMessageBytes));
}

using IsPeer = std::function<bool(int rank, int other)>;

int peers_of(int rank, int ranks, const IsPeer& is_peer) {
  int count = 0;
  for (int other = 0; other < ranks; ++other) count += is_peer(rank, other) ? 1 : 0;
  return count;
}

/// Seconds of one all-to-all with `bytes` to every peer and nothing to others.
double exchange_seconds(Measurement& measurement, Communicator& world, const IsPeer& is_peer,
                        std::int64_t bytes, double seconds) {
  std::vector<std::int64_t> counts;
  for (int other = 0; other < world.size(); ++other) {
    counts.push_back(is_peer(world.rank(), other) ? bytes : 0);
  }
  const std::int64_t all = bytes * peers_of(world.rank(), world.size(), is_peer);
  const bool on_gpu = world.memory() == MemoryKind::kDevice;
  const auto bytes_there =
      at::TensorOptions(at::kByte).device(on_gpu ? gpu_device() : at::Device(at::kCPU));
  const at::Tensor send = at::full({all}, 1, bytes_there);
  at::Tensor receive = at::full({all}, 0, bytes_there);
  return measurement.median(seconds, [&] {
    world
        .all_to_all_v({send.const_data_ptr(), all, DataType::kByte}, counts,
                      {receive.mutable_data_ptr(), all, DataType::kByte}, counts)
        .wait();
  });
}

/// Empty when no rank has such a peer.
std::optional<LinkSpeed> speed_between(Measurement& measurement, Communicator& world,
                                       const IsPeer& is_peer, std::int64_t message_bytes,
                                       double seconds) {
  int most = 0;
  for (int rank = 0; rank < world.size(); ++rank) {
    most = std::max(most, peers_of(rank, world.size(), is_peer));
  }
  if (most == 0) return std::nullopt;
  const std::int64_t large_bytes = bytes_to_peer(message_bytes, most);
  const double small = exchange_seconds(measurement, world, is_peer, kSmallBytes, seconds);
  const double large = exchange_seconds(measurement, world, is_peer, large_bytes, seconds);
  // Noise must not make the large one as fast as the small one.
  const double carrying = std::max(large - small, 0.1 * large);
  return LinkSpeed{.latency_seconds = small / most,
                   .bytes_per_second = static_cast<double>(large_bytes * most) / carrying};
}

int most_on_one_host(const std::vector<int>& hosts) {
  std::map<int, int> ranks;
  int most = 1;
  for (const int host : hosts) most = std::max(most, ++ranks[host]);
  return most;
}

}  // namespace

MeasuredLinks measure_links(Measurement& measurement, Communicator& world,
                            const std::vector<int>& hosts, std::int64_t message_bytes,
                            double seconds_per_point) {
  const auto speed = [&](const IsPeer& is_peer) {
    return speed_between(measurement, world, is_peer, message_bytes, seconds_per_point);
  };
  MeasuredLinks links;
  links.ranks_per_node = most_on_one_host(hosts);
  links.same_node = speed([&](int a, int b) { return a != b && hosts[a] == hosts[b]; });
  links.other_node = speed([&](int a, int b) { return hosts[a] != hosts[b]; });
  links.within_rank = *speed([](int a, int b) { return a == b; });
  return links;
}

}  // namespace hetmoe
