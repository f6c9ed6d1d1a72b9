#include "core/kernels/gpu/group_sums.h"

#include <kernel_language.h>

#include <algorithm>

#include "core/kernels/gpu/packs.h"

namespace hetmoe::gpu {
namespace {

// Few enough that one group of all tokens fills a GPU with lines, many enough that the lines are a
// small part of what is read.
constexpr std::int64_t kRowsPerLine = 64;

/// Blocks of a matrix of sums: tiles of columns one after another, row after row.
struct Tiles {
  Grid grid;
  std::int64_t per_row;
};
Tiles tiles_of(std::int64_t rows, std::int64_t columns, int pack) {
  const unsigned threads = threads_of_row(columns, pack);
  const std::int64_t columns_per_tile = std::int64_t{threads} * pack;
  const std::int64_t per_row = (columns + columns_per_tile - 1) / columns_per_tile;
  return {{.blocks_x = static_cast<unsigned>(rows * per_row), .threads = threads}, per_row};
}

template <typename T, int N>
__global__ void __launch_bounds__(kRowThreads)
    line_kernel(const T* x, const std::int32_t* line_row, std::int64_t columns, std::int64_t tiles,
                float* lines) {
  const std::int64_t line = blockIdx.x / tiles;
  const std::int64_t column = (blockIdx.x % tiles * blockDim.x + threadIdx.x) * N;
  if (column >= columns) return;
  float sum[N] = {};
  const std::int32_t end = line_row[line + 1];
  for (std::int32_t row = line_row[line]; row < end; ++row) {
    const Pack<T, N> xs = read_pack<N>(x + row * columns + column);
    for (int j = 0; j < N; ++j) sum[j] += widen(xs.value[j]);
  }
  for (int j = 0; j < N; ++j) lines[line * columns + column + j] = sum[j];
}

__global__ void __launch_bounds__(kRowThreads)
    group_kernel(const float* lines, const std::int32_t* group_line, std::int64_t columns,
                 std::int64_t tiles, bool adds, float* sums) {
  const std::int64_t group = blockIdx.x / tiles;
  const std::int64_t column = blockIdx.x % tiles * blockDim.x + threadIdx.x;
  if (column >= columns) return;
  float sum = 0;
  const std::int32_t end = group_line[group + 1];
  for (std::int32_t line = group_line[group]; line < end; ++line) {
    sum += lines[line * columns + column];
  }
  float* target = sums + group * columns + column;
  *target = adds ? *target + sum : sum;
}

}  // namespace

LineTables::LineTables(std::span<const std::int64_t> begin) : line_row{0}, group_line{0} {
  for (std::size_t group = 0; group + 1 < begin.size(); ++group) {
    for (std::int64_t row = begin[group]; row < begin[group + 1]; row += kRowsPerLine) {
      line_row.push_back(static_cast<std::int32_t>(std::min(row + kRowsPerLine, begin[group + 1])));
    }
    group_line.push_back(static_cast<std::int32_t>(lines()));
  }
}

template <typename T>
void group_sums(const T* x, const RowGroups& rows, std::int64_t columns, bool adds, float* sums,
                float* scratch, Stream stream) {
  if (rows.groups == 0 || (adds && rows.lines == 0)) return;
  if (rows.lines > 0) {
    const bool packs = fits_packs<T>(columns, x);
    const Tiles tiles = tiles_of(rows.lines, columns, packs ? kPack<T> : 1);
    const auto kernel = packs ? line_kernel<T, kPack<T>> : line_kernel<T, 1>;
    launch("group_sums_lines", tiles.grid, stream, kernel, x, rows.line_row, columns, tiles.per_row,
           scratch);
  }
  const Tiles tiles = tiles_of(rows.groups, columns, 1);
  launch("group_sums", tiles.grid, stream, &group_kernel, scratch, rows.group_line, columns,
         tiles.per_row, adds, sums);
}

template void group_sums(const float*, const RowGroups&, std::int64_t, bool, float*, float*,
                         Stream);
template void group_sums(const BFloat16Bits*, const RowGroups&, std::int64_t, bool, float*, float*,
                         Stream);

}  // namespace hetmoe::gpu
