#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/gpu/devices.h"
#include "parallel/communicator/communicator.h"

namespace hetmoe {

using DeviceUuid = std::array<std::uint8_t, 16>;

/// What one rank can compute on.
struct RankDevices {
  int host = 0;                     ///< ranks of one host have the same
  std::string host_name;            ///< for people
  std::vector<DeviceUuid> visible;  ///< in the order of their indices
  std::string why_none;             ///< if there is none
};

/// The index of every rank's device. A rank that sees several takes the one of its place among the
/// ranks of its host; one that sees a single device takes that (Slurm's --gpus-per-task=1). Two
/// ranks of a host have one device only if `may_share` says so (NCCL from 2.30.3 on, with
/// NCCL_MULTI_RANK_GPU_ENABLE=1). Pure, so that every rank finds the same.
/// Errors: ConfigError with one line for each fault.
std::vector<int> devices_of_ranks(const std::vector<RankDevices>& ranks, bool may_share);

/// What this rank is to compute on, by what all ranks see. Collective. Blocking. Errors: as above,
/// the same on every rank.
int choose_device(Communicator& control, const gpu::Devices& devices, bool may_share);

/// The device of every rank, as a number in the order in which devices first appear: [0, 0, 1]
/// where the first two of three ranks share one. Collective. Blocking.
std::vector<int> device_numbers(Communicator& control, const DeviceUuid& own);

/// As nvidia-smi writes it: "GPU-5e5e5e5e-5e5e-5e5e-5e5e-5e5e5e5e5e5e".
std::string uuid_text(const DeviceUuid& uuid);

}  // namespace hetmoe
