#pragma once

#include <functional>
#include <string>

#include "core/base/clock.h"
#include "parallel/communicator/communicator.h"
#include "parallel/placement/cluster.h"
#include "runtime/calibration/calibration_plan.h"
#include "runtime/run_config.h"

namespace hetmoe {

struct CalibrationRequest {
  const RunConfig& config;  ///< device, precision, threads as training takes them; may be auto
  CalibrationPlan plan;
  Communicator& world;
  const Clock& clock;
  std::function<void(const std::string&)> progress;  ///< a line for people, on rank 0
};

/// Measures how fast the ranks of `world` compute and talk, all of them at once, in the process as
/// training sets it up: on the device that training takes, over NCCL between GPUs. Every number is
/// that of the slowest rank. Collective: with the same request on all ranks; the result is the same
/// on all. Blocking: about plan.seconds. Errors: CommunicationError; ConfigError where the device
/// asked for is not there.
Cluster calibrate(const CalibrationRequest& request);

}  // namespace hetmoe
