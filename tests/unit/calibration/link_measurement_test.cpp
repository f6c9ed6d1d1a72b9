#include "runtime/calibration/link_measurement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "core/base/error.h"
#include "parallel/communicator/local_communicator.h"

namespace hetmoe {
namespace {

class StoppedClock final : public Clock {
 public:
  double monotonic_seconds() const override { return now; }
  double wall_seconds() const override { return 0; }
  mutable double now = 0;
};

constexpr double kLatency[] = {2e-6, 5e-5};  // of one peer: same node, other node
constexpr double kBytesPerSecond[] = {4e9, 5e8};

/// Rank 0 of a world whose all-to-all takes as long as its links say, and moves nothing.
class ModelledWorld final : public Communicator {
 public:
  ModelledWorld(std::vector<int> hosts, const StoppedClock& clock)
      : hosts_(std::move(hosts)), clock_(clock) {}
  int rank() const override { return 0; }
  int size() const override { return static_cast<int>(hosts_.size()); }
  MemoryKind memory() const override { return MemoryKind::kHost; }
  Pending all_reduce(Buffer /*values*/, Reduction /*reduction*/) override { return {}; }
  Pending reduce_scatter_v(ConstBuffer, std::span<const std::int64_t>, Buffer) override {
    return {};
  }
  Pending all_gather_v(Buffer, std::span<const std::int64_t>) override { return {}; }
  Pending all_to_all_v(ConstBuffer /*send*/, std::span<const std::int64_t> counts,
                       Buffer /*receive*/, std::span<const std::int64_t> /*counts*/) override {
    most_bytes_ = std::max(most_bytes_, std::reduce(counts.begin(), counts.end()));
    for (std::size_t rank = 1; rank < hosts_.size(); ++rank) {
      const int kind = hosts_[rank] == hosts_[0] ? 0 : 1;
      if (counts[rank] == 0) continue;
      clock_.now += kLatency[kind] + static_cast<double>(counts[rank]) / kBytesPerSecond[kind];
    }
    return {};
  }
  Pending broadcast(Buffer, int) override { return {}; }
  void barrier() override {}
  std::int64_t most_bytes() const { return most_bytes_; }
  std::unique_ptr<Communicator> split(int, int) override { return nullptr; }
  void progress() override {}
  [[noreturn]] void abort(const std::string& reason, int) override { throw InternalError(reason); }

 private:
  std::vector<int> hosts_;
  const StoppedClock& clock_;
  std::int64_t most_bytes_ = 0;
};

TEST(Links, LatencyAndBandwidthOfEachKindAreThoseOfTheLinks) {
  const StoppedClock clock;
  const std::vector<int> hosts = {0, 0, 0, 1, 1, 1};
  ModelledWorld world(hosts, clock);
  Measurement measurement(world, clock);
  const MeasuredLinks links = measure_links(measurement, world, hosts, 1 << 20, 1e-4);
  EXPECT_EQ(links.ranks_per_node, 3);
  const std::array<LinkSpeed, 2> found = {links.same_node.value(), links.other_node.value()};
  for (std::size_t kind = 0; kind < 2; ++kind) {
    // The few bytes of the small message are in the latency.
    EXPECT_NEAR(found[kind].latency_seconds, kLatency[kind], 2e-8);
    EXPECT_NEAR(found[kind].bytes_per_second / kBytesPerSecond[kind], 1, 1e-4);
  }
}

TEST(Links, BuffersDoNotGrowWithTheWorld) {
  const StoppedClock clock;
  std::vector<int> hosts(301);
  std::iota(hosts.begin(), hosts.end(), 0);
  ModelledWorld world(hosts, clock);
  Measurement measurement(world, clock);
  const MeasuredLinks links = measure_links(measurement, world, hosts, 1 << 20, 1e-4);
  EXPECT_LE(world.most_bytes(), 64 << 20);
  EXPECT_GE(world.most_bytes(), 63 << 20);
  EXPECT_NEAR(links.other_node.value().bytes_per_second / kBytesPerSecond[1], 1, 1e-4);
}

TEST(Links, AKindThatNoTwoRanksHaveIsEmpty) {
  for (const std::vector<int>& hosts :
       std::vector<std::vector<int>>{{0}, {0, 0, 0}, {0, 1, 2}, {0, 0, 1}}) {
    const int ranks = static_cast<int>(hosts.size());
    const bool shares = std::adjacent_find(hosts.begin(), hosts.end()) != hosts.end();
    run_ranks(ranks, [&](Communicator& world) {
      const SystemClock clock;
      Measurement measurement(world, clock);
      const MeasuredLinks links = measure_links(measurement, world, hosts, 4096, 1e-4);
      EXPECT_EQ(links.same_node.has_value(), shares);
      EXPECT_EQ(links.other_node.has_value(), hosts.back() != hosts.front());
      EXPECT_GT(links.within_rank.bytes_per_second, 0);
      for (const auto& link : {links.same_node, links.other_node}) {
        if (!link) continue;
        EXPECT_GT(link->latency_seconds, 0);
        EXPECT_GT(link->bytes_per_second, 0);
      }
    });
  }
}

}  // namespace
}  // namespace hetmoe
