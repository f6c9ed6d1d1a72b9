// How much of the traffic of gradients and parameters training hides: under mpirun,
//   mpirun -np 2 build/hetmoe_update_bench [ROUNDS]
// In each round the same exchange alone (started and waited for, nothing computed), then two steps
// of training. Means over ranks, medians over rounds: hidden is 1 - seconds of waiting in a step /
// seconds alone; hidden_but_for_calls counts what a step spends in starting and driving the
// exchange as well. A wait for a slower peer counts as a wait.
#include <ATen/Parallel.h>

#include <array>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>

#include "core/base/median.h"
#include "core/data/random_batch_reader.h"
#include "parallel/communicator/mpi_communicator.h"
#include "runtime/trainer/initial_plan.h"
#include "runtime/trainer/process_memory.h"
#include "runtime/trainer/training_parts.h"
#include "tests/bench/timed_communicator.h"

namespace hetmoe::bench {
namespace {

/// The model and the batch of end_to_end.yaml.
RunConfig bench_config() {
  RunConfig config;
  config.train.precision = Precision::kBf16;
  return config;
}

struct Seconds {
  CollectiveSeconds gradients;
  CollectiveSeconds parameters;
};

CollectiveSeconds difference(const CollectiveSeconds& after, const CollectiveSeconds& before) {
  return {after.waiting - before.waiting, after.starting - before.starting};
}

class Bench {
 public:
  Bench(const RunConfig& config, Communicator& world)
      : config_(config),
        traffic_(world, configured_groups(config_, world.size())),
        gradients_(time(traffic_.gradients)),
        parameters_(time(traffic_.parameters)),
        reader_(config.train.seed, config.model.vocab_size, config.train.sequence_length,
                config.train.global_batch),
        parts_(config_, traffic_,
               make_initial_plan(config_, traffic_.groups, *traffic_.control).placement, reader_,
               clock_, Ownership::initial_masters(config.train.seed)) {}

  /// One step of training, with the copies of the step before on their way.
  Seconds train() {
    return measured([&] { parts_.step().run(++step_); });
  }

  Seconds exchange_alone() {
    Ownership& ownership = parts_.ownership();
    ownership.wait_all();
    traffic_.control->barrier();
    return measured([&] {
      ownership.reduce_gradients();
      for (const int block : ownership.blocks()) ownership.send_copies(block);
      ownership.wait_all();
    });
  }

 private:
  TimedCommunicator& time(std::unique_ptr<Communicator>& communicator) {
    auto timed = std::make_unique<TimedCommunicator>(std::move(communicator), clock_);
    TimedCommunicator& reference = *timed;
    communicator = std::move(timed);
    return reference;
  }

  template <typename Work>
  Seconds measured(Work work) {
    const Seconds before{gradients_.seconds(), parameters_.seconds()};
    work();
    const auto gradients = difference(gradients_.seconds(), before.gradients);
    const auto parameters = difference(parameters_.seconds(), before.parameters);
    std::array<double, 4> seconds = {gradients.waiting, gradients.starting, parameters.waiting,
                                     parameters.starting};
    traffic_.control->all_reduce(buffer_of(std::span<double>(seconds)), Reduction::kSum).wait();
    for (double& sum : seconds) sum /= traffic_.control->size();
    return {{seconds[0], seconds[1]}, {seconds[2], seconds[3]}};
  }

  RunConfig config_;
  SystemClock clock_;
  TrafficClasses traffic_;
  TimedCommunicator& gradients_;
  TimedCommunicator& parameters_;
  RandomBatchReader reader_;
  TrainingParts parts_;
  std::int64_t step_ = 0;
};

/// Of one class of traffic: the part of the time of the exchange alone that training does not show.
nlohmann::ordered_json share_of(const std::vector<Seconds>& alone, const std::vector<Seconds>& step,
                                CollectiveSeconds Seconds::*traffic) {
  const auto median_of = [&](const std::vector<Seconds>& all, bool with_calls) {
    std::vector<double> values;
    for (const Seconds& seconds : all) {
      const CollectiveSeconds& one = seconds.*traffic;
      values.push_back(one.waiting + (with_calls ? one.starting : 0));
    }
    return median(values);
  };
  const double alone_seconds = median_of(alone, true);
  return {{"hidden", 1 - median_of(step, false) / alone_seconds},
          {"hidden_but_for_calls", 1 - median_of(step, true) / alone_seconds},
          {"seconds_waiting_in_step", median_of(step, false)},
          {"seconds_alone", alone_seconds}};
}

void run(Communicator& world, int rounds) {
  keep_freed_memory();
  at::set_num_threads(1);
  Bench bench(bench_config(), world);
  for (int warm_up = 0; warm_up < 3; ++warm_up) bench.train();
  std::vector<Seconds> alone, step;
  for (int round = 0; round < rounds; ++round) {
    for (int i = 0; i < 2; ++i) alone.push_back(bench.exchange_alone());
    bench.train();  // nothing was on its way to it
    for (int i = 0; i < 2; ++i) step.push_back(bench.train());
  }
  if (world.rank() != 0) return;
  const nlohmann::ordered_json line = {{"case", "update traffic bf16"},
                                       {"ranks", world.size()},
                                       {"rounds", rounds},
                                       {"gradients", share_of(alone, step, &Seconds::gradients)},
                                       {"parameters", share_of(alone, step, &Seconds::parameters)}};
  std::cout << line.dump() << std::endl;
}

}  // namespace
}  // namespace hetmoe::bench

int main(int argc, char** argv) {
  hetmoe::MpiRuntime runtime(argc, argv);
  hetmoe::bench::run(*runtime.world(), argc > 1 ? std::atoi(argv[1]) : 9);
  return 0;
}
