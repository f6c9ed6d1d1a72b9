#pragma once

#include <string>
#include <vector>

#include "core/base/clock.h"
#include "parallel/communicator/communicator.h"
#include "runtime/report/summary.h"
#include "runtime/run_config.h"
#include "runtime/trainer/compute_device.h"

namespace hetmoe {

/// What a run computes with, decided once at start.
struct ComputeChoice {
  ComputeDevice device;
  Precision precision = Precision::kFp32;  ///< never kAuto
  int threads = 1;                         ///< of this rank
  std::string own_cores;                   ///< that this rank may use: "0-3,8"
  CoreUse cores;                           ///< of all ranks
  std::vector<std::string> notes;          ///< why, for rank 0 to print
  std::vector<std::string> warnings;       ///< with the flag to add
};

/// Precision auto: rank 0 times one bf16 and one fp32 product of 1024x1024x1024 and takes bf16 if
/// it is at least 1.2 times as fast (bf16 is slow on processors without AVX512-BF16 or AMX).
/// Threads 0: the cores of this rank's affinity mask divided by the ranks that share them.
/// The device first (compute_device.h): precision is measured there. Sets LibTorch's thread count,
/// lets denormals be flushed to zero, and on a GPU keeps fp32 products exact. Collective.
ComputeChoice choose_compute(const RunConfig& config, Communicator& control, const Clock& clock);

}  // namespace hetmoe
