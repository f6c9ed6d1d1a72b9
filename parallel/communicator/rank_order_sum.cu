#include "parallel/communicator/rank_order_sum.h"

#include <kernel_language.h>

#include <algorithm>

#include "core/base/check.h"

namespace hetmoe::gpu {
namespace {

constexpr unsigned kThreads = 256;
// Beyond that blocks go on with the next elements: enough to fill any device.
constexpr std::int64_t kMostBlocks = 1024;

template <typename T, int N>
struct alignas(sizeof(T) * N) Elements {
  T value[N];
};

__device__ __forceinline__ float added(float a, float b) { return a + b; }
__device__ __forceinline__ double added(double a, double b) { return a + b; }
__device__ __forceinline__ std::int64_t added(std::int64_t a, std::int64_t b) {
  // Wraps around: signed overflow is undefined.
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}

template <typename T, Reduction R>
__device__ __forceinline__ T reduced(T total, T next) {
  if constexpr (R == Reduction::kSum) {
    return added(total, next);
  } else if constexpr (R == Reduction::kMin) {
    return next < total || next != next ? next : total;  // x != x: a NaN wins
  } else {
    return next > total || next != next ? next : total;
  }
}

__device__ __forceinline__ const std::byte* values_of(const RankOrderSum& sum, int rank) {
  return rank == sum.own_rank ? sum.own : sum.slots + rank * sum.slot_bytes;
}

/// N elements from `begin` on.
template <typename T, Reduction R, int N>
__device__ __forceinline__ void reduce_at(const RankOrderSum& sum, std::int64_t begin) {
  using Pack = Elements<T, N>;
  const std::int64_t offset = begin * static_cast<std::int64_t>(sizeof(T));
  Pack total = *reinterpret_cast<const Pack*>(values_of(sum, 0) + offset);
  for (int rank = 1; rank < sum.ranks; ++rank) {
    const Pack next = *reinterpret_cast<const Pack*>(values_of(sum, rank) + offset);
    for (int j = 0; j < N; ++j) total.value[j] = reduced<T, R>(total.value[j], next.value[j]);
  }
  *reinterpret_cast<Pack*>(sum.destination + offset) = total;
}

template <typename T, Reduction R, int N>
__global__ void __launch_bounds__(kThreads) sum_kernel(RankOrderSum sum) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kThreads * N;
  const std::int64_t first = (static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x) * N;
  for (std::int64_t begin = first; begin < sum.count; begin += stride) {
    if (begin + N <= sum.count) {
      reduce_at<T, R, N>(sum, begin);
    } else {
      for (std::int64_t i = begin; i < sum.count; ++i) reduce_at<T, R, 1>(sum, i);
    }
  }
}

bool fits_packs(const RankOrderSum& sum) {
  const auto is_aligned = [](const void* pointer) {
    return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0;
  };
  return is_aligned(sum.slots) && is_aligned(sum.own) && is_aligned(sum.destination) &&
         sum.slot_bytes % 16 == 0;
}

template <typename T, Reduction R>
void launch_sum(const RankOrderSum& sum, Stream stream) {
  constexpr int kPack = 16 / static_cast<int>(sizeof(T));
  const bool packs = fits_packs(sum);
  const std::int64_t of_block = kThreads * (packs ? kPack : 1);
  const std::int64_t blocks = std::min(kMostBlocks, (sum.count + of_block - 1) / of_block);
  const Grid grid{.blocks_x = static_cast<unsigned>(blocks), .threads = kThreads};
  const auto kernel = packs ? sum_kernel<T, R, kPack> : sum_kernel<T, R, 1>;
  launch("rank_order_sum", grid, stream, kernel, sum);
}

template <typename T>
void launch_sum_of(const RankOrderSum& sum, Stream stream) {
  switch (sum.reduction) {
    case Reduction::kSum:
      return launch_sum<T, Reduction::kSum>(sum, stream);
    case Reduction::kMin:
      return launch_sum<T, Reduction::kMin>(sum, stream);
    case Reduction::kMax:
      return launch_sum<T, Reduction::kMax>(sum, stream);
  }
}

}  // namespace

void rank_order_sum(const RankOrderSum& sum, Stream stream) {
  if (sum.count == 0) return;
  switch (sum.type) {
    case DataType::kFloat32:
      return launch_sum_of<float>(sum, stream);
    case DataType::kFloat64:
      return launch_sum_of<double>(sum, stream);
    case DataType::kInt64:
      return launch_sum_of<std::int64_t>(sum, stream);
    default:
      HETMOE_CHECK(false, "no reduction for type ", static_cast<int>(sum.type));
  }
}

}  // namespace hetmoe::gpu
