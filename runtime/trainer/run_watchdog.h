#pragma once

#include <memory>

#include "parallel/communicator/collective_log.h"
#include "parallel/communicator/communicator.h"
#include "parallel/communicator/device_groups.h"
#include "runtime/metrics/rank_log.h"
#include "runtime/metrics/run_directory.h"
#include "runtime/trainer/train_config.h"
#include "runtime/watchdog/watchdog.h"

namespace hetmoe {

/// All of it must outlive the watchdog.
struct WatchedRun {
  const TrainConfig& train;
  const CollectiveLog& collectives;
  const RunDirectory& directory;
  RankLog& rank_log;
  Communicator& world;
  DeviceGroups& devices;
  int generation = 1;
};

/// The watchdog of this rank with the run's deadlines. On expiry the lowest living rank writes a
/// line to standard error, an event and exit.json, and ends the job with code 4. Null where there
/// is nothing to watch: one rank, or no deadline. Errors: StorageError.
std::unique_ptr<Watchdog> start_watchdog(const WatchedRun& run);

}  // namespace hetmoe
