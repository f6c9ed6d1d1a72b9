// What ranks of GPUs move among each other: mpirun -np 2 hetmoe_gpu_nccl_bench [MIB (64) [ROUNDS
// (15)]] Rank 0 prints one JSON line each for the exchange of tokens and for sums in the order of
// ranks, over MIB MiB per rank. Bytes are those that one rank sends. Two ranks of one GPU say that
// it works, and nothing of a network.
#include <array>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/median.h"
#include "core/gpu/devices.h"
#include "core/gpu/memory.h"
#include "core/gpu/stream.h"
#include "parallel/communicator/mpi_communicator.h"
#include "parallel/communicator/nccl_communicator.h"
#include "tests/bench/device_stopwatch.h"

namespace hetmoe::bench {
namespace {

constexpr double kTimeoutSeconds = 60;
constexpr int kWarmUpRounds = 3;

class Bench {
 public:
  Bench(Communicator& world, std::int64_t count)
      : world_(world),
        count_(count),
        groups_(kTimeoutSeconds),
        group_(make_nccl_communicator(
            world.split(0, world.rank()),
            {.compute_stream = [this] { return stream_.get(); }, .groups = &groups_})),
        send_(static_cast<std::size_t>(count) * sizeof(float)),
        receive_(send_.size_bytes()) {
    gpu::fill_with_zeros(send_.get(), send_.size_bytes(), stream_.get());
  }

  void all_to_all() {
    const int size = world_.size();
    const std::vector<std::int64_t> counts(static_cast<std::size_t>(size), count_ / size);
    group_
        ->all_to_all_v({send_.get(), count_, DataType::kFloat32}, counts,
                       {receive_.get(), count_, DataType::kFloat32}, counts)
        .wait();
  }
  void sum() {
    group_->all_reduce({send_.get(), count_, DataType::kFloat32}, Reduction::kSum).wait();
  }

  /// Median over rounds of the longest of all ranks.
  double seconds_of(const std::function<void()>& collective, int rounds) {
    std::vector<double> all;
    for (int round = -kWarmUpRounds; round < rounds; ++round) {
      world_.barrier();
      DeviceStopwatch watch;
      watch.mark(stream_.get());
      collective();
      watch.mark(stream_.get());
      std::array<double, 1> seconds = {watch.seconds().front()};
      world_.all_reduce(buffer_of(std::span<double>(seconds)), Reduction::kMax).wait();
      if (round >= 0) all.push_back(seconds[0]);
    }
    return median(all);
  }

  void print(const char* name, double seconds, double bytes) const {
    if (world_.rank() != 0) return;
    const nlohmann::ordered_json line = {{"case", name},
                                         {"device", gpu::visible_devices().visible.at(0).name},
                                         {"ranks", world_.size()},
                                         {"bytes_sent_by_a_rank", bytes},
                                         {"median_seconds", seconds},
                                         {"bytes_per_second", bytes / seconds}};
    std::cout << line.dump() << std::endl;
  }

 private:
  Communicator& world_;
  std::int64_t count_;
  gpu::OwnedStream stream_;
  DeviceGroups groups_;
  std::unique_ptr<Communicator> group_;
  gpu::DeviceMemory send_, receive_;
};

void bench(Communicator& world, double mebibytes, int rounds) {
  const int size = world.size();
  const auto count = static_cast<std::int64_t>(mebibytes * (1 << 20) / sizeof(float)) / size * size;
  Bench all(world, count);
  const double bytes = static_cast<double>(count) * sizeof(float);
  const double others = static_cast<double>(size - 1) / size;
  all.print("gpu all to all", all.seconds_of([&] { all.all_to_all(); }, rounds), others * bytes);
  // Parts go to those that add them, and sums to all.
  all.print("gpu sum in rank order", all.seconds_of([&] { all.sum(); }, rounds),
            2 * others * bytes);
}

}  // namespace
}  // namespace hetmoe::bench

int main(int argc, char** argv) {
  using namespace hetmoe;
  try {
    MpiRuntime runtime(argc, argv);
    const auto world = runtime.world();
    try {
      bench::bench(*world, argc > 1 ? std::atof(argv[1]) : 64, argc > 2 ? std::atoi(argv[2]) : 15);
    } catch (const std::exception& error) {
      world->abort(describe(error), 1);
    }
  } catch (const std::exception& error) {
    std::cerr << describe(error) << '\n';
    return 1;
  }
  return 0;
}
