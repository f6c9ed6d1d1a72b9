#include "launcher/calibrate_command.h"

#include <iostream>

#include "core/base/clock.h"
#include "core/files/atomic_file.h"
#include "launcher/shared_config.h"
#include "launcher/world.h"
#include "parallel/agreement.h"
#include "parallel/placement/cluster_file.h"
#include "runtime/calibration/calibration.h"
#include "runtime/report/cluster_text.h"
#include "runtime/run_config.h"

namespace hetmoe {
namespace {

RunConfig config_of(const CalibrateOptions& options, int ranks) {
  RunConfig config;
  if (options.config_path.empty()) {
    config.train.global_batch = ranks;
  } else {
    std::vector<std::string> settings = options.settings;
    if (!options.precision.empty()) settings.push_back("train.precision=" + options.precision);
    if (options.threads) {
      settings.push_back("parallel.threads=" + std::to_string(*options.threads));
    }
    return load_run_config(options.config_path, settings);
  }
  if (options.precision == "fp32") config.train.precision = Precision::kFp32;
  if (options.precision == "bf16") config.train.precision = Precision::kBf16;
  if (options.threads) config.parallel.threads = *options.threads;
  return config;
}

CalibrationPlan plan_of(const CalibrateOptions& options, const RunConfig& config, int ranks) {
  return options.config_path.empty() ? standard_calibration_plan(options.seconds)
                                     : calibration_plan_for(config, ranks, options.seconds);
}

void calibrate_and_write(const CalibrateOptions& options, Communicator& world) {
  const std::string source = options.config_path.empty() ? "command line" : options.config_path;
  const RunConfig config =
      load_shared_config(world, source, [&] { return config_of(options, world.size()); });
  collectively(world, [&] {
    if (world.rank() == 0) require_writable(options.out_path);
  });
  const SystemClock clock;
  const Cluster cluster = calibrate({.config = config,
                                     .plan = plan_of(options, config, world.size()),
                                     .world = world,
                                     .clock = clock,
                                     .progress = [](const std::string& line) {
                                       std::cerr << "hetmoe: " + line + "\n" << std::flush;
                                     }});
  collectively(world, [&] {
    if (world.rank() != 0) return;
    write_file_atomically(options.out_path, write_cluster(cluster));
  });
  if (world.rank() != 0) return;
  std::cout << (options.json ? cluster_json(cluster) : cluster_table(cluster)) << std::flush;
}

}  // namespace

int run_calibrate_command(const CalibrateOptions& options) {
  return run_on_world([&](Communicator& world) { calibrate_and_write(options, world); });
}

}  // namespace hetmoe
