#include "core/kernels/gpu/exclusive_sum.h"

#include <kernel_language.h>

#include "core/gpu/memory.h"
#include "core/kernels/gpu/packs.h"
#include "core/kernels/gpu/reductions.h"

namespace hetmoe::gpu {
namespace {

constexpr unsigned kThreads = 256;
constexpr int kPerThread = 8;  // consecutive, so that a block meets once for all of them
constexpr std::int64_t kAtOnce = kThreads * kPerThread;
constexpr std::int64_t kChunk = 2 * kAtOnce;  // of one block

__device__ std::int64_t end_of_chunk(std::int64_t begin, std::int64_t count) {
  return begin + kChunk < count ? begin + kChunk : count;
}

__global__ void __launch_bounds__(kThreads)
    sum_chunks_kernel(const std::int32_t* values, std::int64_t count, std::int32_t* of_chunk) {
  const std::int64_t begin = blockIdx.x * kChunk;
  const std::int64_t end = end_of_chunk(begin, count);
  int sum = 0;
  for (std::int64_t i = begin + threadIdx.x; i < end; i += kThreads) sum += values[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) of_chunk[blockIdx.x] = sum;
}

/// sums = what is before each of values[begin, end), beginning at `before`; gives what is before
/// `end`. A thread reads its values before it writes the sums in their place.
__device__ int scan(const std::int32_t* values, std::int64_t begin, std::int64_t end, int before,
                    std::int32_t* sums) {
  for (std::int64_t first = begin; first < end; first += kAtOnce) {
    const std::int64_t mine = first + threadIdx.x * kPerThread;
    int own[kPerThread];
    int sum = 0;
    for (int j = 0; j < kPerThread; ++j) {
      own[j] = mine + j < end ? values[mine + j] : 0;
      sum += own[j];
    }
    const BlockScan part = block_scan(sum);
    int next = before + part.before;
    for (int j = 0; j < kPerThread; ++j) {
      if (mine + j < end) sums[mine + j] = next;
      next += own[j];
    }
    before += part.total;
    __syncthreads();
  }
  return before;
}

__global__ void __launch_bounds__(kThreads)
    scan_sums_kernel(std::int32_t* sums, std::int64_t count) {
  scan(sums, 0, count, 0, sums);
}

/// `before_chunk`: null for the only chunk.
__global__ void __launch_bounds__(kThreads)
    scan_chunks_kernel(const std::int32_t* values, std::int64_t count,
                       const std::int32_t* before_chunk, std::int32_t* sums) {
  const std::int64_t begin = blockIdx.x * kChunk;
  const std::int64_t end = end_of_chunk(begin, count);
  const int before = before_chunk != nullptr ? before_chunk[blockIdx.x] : 0;
  const int after = scan(values, begin, end, before, sums);
  if (end == count && threadIdx.x == 0) sums[count] = after;
}

std::int64_t chunks_of(std::int64_t count) { return (count + kChunk - 1) / kChunk; }

}  // namespace

std::int64_t exclusive_sum_scratch(std::int64_t count) { return chunks_of(count); }

void exclusive_sum(const std::int32_t* values, std::int64_t count, std::int32_t* sums,
                   std::int32_t* scratch, Stream stream) {
  if (count == 0) return fill_with_zeros(sums, sizeof(std::int32_t), stream);
  const std::int64_t chunks = chunks_of(count);
  const Grid grid{.blocks_x = static_cast<unsigned>(chunks), .threads = kThreads};
  if (chunks > 1) {
    launch("sum_chunks", grid, stream, &sum_chunks_kernel, values, count, scratch);
    launch("scan_chunk_sums", {.threads = kThreads}, stream, &scan_sums_kernel, scratch, chunks);
  }
  launch("scan_chunks", grid, stream, &scan_chunks_kernel, values, count,
         chunks > 1 ? scratch : nullptr, sums);
}

}  // namespace hetmoe::gpu
