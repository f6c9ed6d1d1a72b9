#pragma once

#include <cstdint>
#include <string>

#include "parallel/communicator/communicator.h"
#include "parallel/communicator/device_choice.h"

namespace hetmoe {

/// What one rank's tensors live on.
struct ComputeDevice {
  bool on_gpu = false;
  std::string name = "cpu";       ///< for people: a GPU's name as its driver says it
  DeviceUuid uuid{};              ///< of a GPU
  std::int64_t memory_bytes = 0;  ///< of a GPU, all of it
  std::string note;               ///< why `auto` takes no GPU where it could, or nothing
};

/// parallel.device: `cpu`; `cuda`; `auto` is cuda where every rank sees a GPU. With a GPU it is the
/// one of this rank (parallel/communicator/device_choice.h), and this process computes on it from
/// now on. Ranks share one only with NCCL_MULTI_RANK_GPU_ENABLE=1 in the environment. Collective.
/// Errors: ConfigError, the same on every rank.
ComputeDevice choose_compute_device(const std::string& asked, Communicator& control);

}  // namespace hetmoe
