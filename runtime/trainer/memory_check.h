#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "parallel/communicator/communicator.h"
#include "parallel/placement/expert_groups.h"
#include "parallel/placement/placement.h"
#include "runtime/run_config.h"
#include "runtime/trainer/compute_device.h"

namespace hetmoe {

/// What one rank needs beside the program itself.
struct MemoryNeed {
  /// Parameters, gradients, masters and moments, the buffers in which they travel, and generated
  /// weights: all but the communicator's scratch for sums (ownership.h).
  std::int64_t state_bytes = 0;
  std::int64_t snapshot_bytes = 0;    ///< the copy that is saved, always in the host's memory
  std::int64_t activation_bytes = 0;  ///< what a microbatch holds at its most: an estimate
};

/// [ranks of the world], under a uniform load. `config.train.precision` must be resolved. Pure.
std::vector<MemoryNeed> memory_needs(const RunConfig& config, const Placement& placement,
                                     const ExpertGroups& groups);

/// What is left of a GPU for one rank's cuBLAS (32 MiB for LibTorch and for each stream of
/// products), for kernels, which are loaded when they are first used, and for blocks that do not
/// fit together.
inline constexpr std::int64_t kDeviceReserveBytes = std::int64_t{512} << 20;

/// A GPU as one of its ranks sees it, with NCCL's buffers and scratch in place.
struct DeviceRoomOfRank {
  std::string name;  ///< for people
  std::int64_t total_bytes = 0;
  std::int64_t free_bytes = 0;
};

/// What `rank` lacks on its GPU, in one line, or nothing. Ranks with the same number in `devices`
/// share one. Pure.
std::optional<std::string> device_shortage(const std::vector<MemoryNeed>& needs,
                                           const std::vector<int>& devices, int rank,
                                           const DeviceRoomOfRank& room);

/// Refuses a run that cannot fit: its parameters into the memory of a host, for Linux would grant
/// it and kill the job later; or the state of a GPU's ranks into its memory. Activations
/// are told but not refused: their number is an estimate, and a step that finds no room says so.
/// Collective. Errors: AgreedError (configuration) that names the lowest rank that lacks memory,
/// what is needed and what is there.
void require_memory(const RunConfig& config, const Placement& placement, const ExpertGroups& groups,
                    Communicator& control, const ComputeDevice& device = {});

/// Does the work; where the GPU's memory is short in it, tells so in one line: what was done, how
/// much was asked for, what there is and what to lower. `doing` is asked then. Not nested.
/// Errors: gpu::DeviceMemoryError, of this rank alone; all others as they come.
void tell_short_memory(const std::function<std::string()>& doing,
                       const std::function<void()>& work);

}  // namespace hetmoe
