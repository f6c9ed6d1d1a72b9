#pragma once

#include <cstdint>

namespace hetmoe {

/// The memory of the GPU that this process computes on, in bytes.
struct GpuMemory {
  std::int64_t total_bytes = 0;
  /// What this process could still get: nobody's, and what its pool holds unused.
  std::int64_t free_bytes = 0;
  /// The most that this process's pool has held so far, used or not. CUDA's context and NCCL's
  /// buffers lie outside of it.
  std::int64_t peak_bytes = 0;
  /// What the latest allocation that failed had asked for; 0: none has failed.
  std::int64_t refused_bytes = 0;
};

/// After use_gpu. Without CUDA built in: a broken invariant. Cost: a call of the driver, and locks.
GpuMemory gpu_memory();

}  // namespace hetmoe
