#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstring>
#include <span>

#include "core/gpu/launch.h"

namespace hetmoe {

/// The GPU that this process computes on, as LibTorch names it; the emulated one in tests of it.
/// use_gpu comes first, once, on the main thread. Without CUDA built in: a broken invariant.
at::Device gpu_device();

/// This process computes on the GPU of this index among the visible ones from now on.
void use_gpu(int index);

/// What the calling thread's operations on tensors of the GPU are enqueued on.
gpu::Stream compute_stream();

/// The host waits for all that the calling thread's compute stream has been given.
void wait_for_gpu();

/// Memory of the host that copies to and from the GPU do not wait for.
at::Tensor empty_pinned(at::IntArrayRef sizes, at::ScalarType type);

/// Values of the host on the GPU, without waiting: they are copied aside first.
template <typename T>
at::Tensor uploaded(std::span<const T> values, at::ScalarType type) {
  at::Tensor pinned = empty_pinned({static_cast<std::int64_t>(values.size())}, type);
  if (!values.empty()) std::memcpy(pinned.mutable_data_ptr(), values.data(), values.size_bytes());
  return pinned.to(gpu_device(), /*non_blocking=*/true);
}

}  // namespace hetmoe
