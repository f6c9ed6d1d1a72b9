// For kernels: sums over many rows whose order does not depend on scheduling. Blocks leave one line
// of partial sums each; the lines are then added, always by the same lanes in the same order.
#pragma once

#include <kernel_language.h>

#include <cstdint>

#include "core/kernels/gpu/packs.h"

namespace hetmoe::gpu {

constexpr unsigned kLinesAtOnce = 8;

/// sum[c] = lines[0, c] + lines[1, c] + ..., with `adds` on top of what it holds; one block per 32
/// columns, one warp per 8th line.
template <typename T>
__global__ void __launch_bounds__(kWarp* kLinesAtOnce)
    add_lines_kernel(const T* lines, std::int64_t count, std::int64_t columns, bool adds, T* sum) {
  __shared__ T of_warp[kLinesAtOnce][kWarp];
  const unsigned warp = threadIdx.x / kWarp;
  const unsigned lane = threadIdx.x % kWarp;
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * kWarp + lane;
  T part = 0;
  if (column < columns) {
    for (std::int64_t line = warp; line < count; line += kLinesAtOnce) {
      part += lines[line * columns + column];
    }
  }
  of_warp[warp][lane] = part;
  __syncthreads();
  if (warp != 0 || column >= columns) return;
  T total = adds ? sum[column] : T(0);
  for (unsigned other = 0; other < kLinesAtOnce; ++other) total += of_warp[other][lane];
  sum[column] = total;
}

template <typename T>
void add_lines(const char* name, const T* lines, std::int64_t count, std::int64_t columns,
               bool adds, T* sum, Stream stream) {
  const Grid grid{.blocks_x = static_cast<unsigned>((columns + kWarp - 1) / kWarp),
                  .threads = kWarp * kLinesAtOnce};
  launch(name, grid, stream, &add_lines_kernel<T>, lines, count, columns, adds, sum);
}

}  // namespace hetmoe::gpu
