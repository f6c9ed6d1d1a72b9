// How much of the traffic of gradients and parameters training hides: under mpirun,
//   mpirun -np 2 build/hetmoe_update_bench [ROUNDS]
// In each round the same exchange alone (started and waited for, nothing computed), then two steps
// of training. Seconds are those in starting, driving and waiting for these collectives, mean over
// ranks; hidden is 1 - median in a step / median alone. A wait for a slower peer counts as a wait.
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
  double gradients = 0;
  double parameters = 0;
};

class Bench {
 public:
  Bench(const RunConfig& config, Communicator& world)
      : config_(config),
        traffic_(world),
        gradients_(time(traffic_.gradients)),
        parameters_(time(traffic_.parameters)),
        reader_(config.train.seed, config.model.vocab_size, config.train.sequence_length,
                config.train.global_batch),
        parts_(config_, traffic_, make_initial_plan(config_, *traffic_.control).placement, reader_,
               clock_) {}

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
    std::array<double, 2> seconds = {gradients_.seconds() - before.gradients,
                                     parameters_.seconds() - before.parameters};
    traffic_.control->all_reduce(buffer_of(std::span<double>(seconds)), Reduction::kSum).wait();
    return {seconds[0] / traffic_.control->size(), seconds[1] / traffic_.control->size()};
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
                                double Seconds::*traffic) {
  const auto median_of = [&](const std::vector<Seconds>& all) {
    std::vector<double> values;
    for (const Seconds& seconds : all) values.push_back(seconds.*traffic);
    return median(values);
  };
  const double alone_seconds = median_of(alone), step_seconds = median_of(step);
  return {{"hidden", 1 - step_seconds / alone_seconds},
          {"seconds_in_step", step_seconds},
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
