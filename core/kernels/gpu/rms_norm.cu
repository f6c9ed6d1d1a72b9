#include "core/kernels/gpu/rms_norm.h"

#include <kernel_language.h>

#include "core/kernels/gpu/packs.h"
#include "core/kernels/gpu/partial_sums.h"
#include "core/kernels/gpu/reductions.h"

namespace hetmoe::gpu {
namespace {

constexpr std::int64_t kRowsPerLine = 64;  // of partial sums of the weight's gradient

template <typename T, int N>
__global__ void __launch_bounds__(kRowThreads)
    forward_kernel(const T* x, const T* weight, T* y, float* inverse_rms, std::int64_t columns,
                   float epsilon) {
  const std::int64_t row = blockIdx.x;
  x += row * columns;
  y += row * columns;
  float sum = 0;
  for (std::int64_t i = threadIdx.x * N; i < columns; i += blockDim.x * N) {
    const Pack<T, N> xs = read_pack<N>(x + i);
    for (int j = 0; j < N; ++j) sum += widen(xs.value[j]) * widen(xs.value[j]);
  }
  const float inverse = 1.0F / sqrtf(block_sum(sum) / static_cast<float>(columns) + epsilon);
  if (threadIdx.x == 0) inverse_rms[row] = inverse;
  for (std::int64_t i = threadIdx.x * N; i < columns; i += blockDim.x * N) {
    const Pack<T, N> xs = read_pack<N>(x + i);
    const Pack<T, N> ws = read_pack<N>(weight + i);
    Pack<T, N> ys;
    for (int j = 0; j < N; ++j) {
      ys.value[j] = narrow_to<T>(widen(xs.value[j]) * inverse * widen(ws.value[j]));
    }
    write_pack(y + i, ys);
  }
}

template <typename T, int N>
__global__ void __launch_bounds__(kRowThreads)
    backward_kernel(RmsNormSaved<T> saved, const T* dy, T* dx) {
  const std::int64_t row = blockIdx.x;
  const T* x = saved.x + row * saved.columns;
  dy += row * saved.columns;
  dx += row * saved.columns;
  const float inverse = saved.inverse_rms[row];
  float dot = 0;
  for (std::int64_t i = threadIdx.x * N; i < saved.columns; i += blockDim.x * N) {
    const Pack<T, N> xs = read_pack<N>(x + i);
    const Pack<T, N> ws = read_pack<N>(saved.weight + i);
    const Pack<T, N> gs = read_pack<N>(dy + i);
    for (int j = 0; j < N; ++j) {
      dot += widen(gs.value[j]) * widen(ws.value[j]) * widen(xs.value[j]);
    }
  }
  const float projection =
      block_sum(dot) * inverse * inverse * inverse / static_cast<float>(saved.columns);
  for (std::int64_t i = threadIdx.x * N; i < saved.columns; i += blockDim.x * N) {
    const Pack<T, N> xs = read_pack<N>(x + i);
    const Pack<T, N> ws = read_pack<N>(saved.weight + i);
    Pack<T, N> gs = read_pack<N>(dy + i);
    for (int j = 0; j < N; ++j) {
      gs.value[j] = narrow_to<T>(widen(gs.value[j]) * widen(ws.value[j]) * inverse -
                                 widen(xs.value[j]) * projection);
    }
    write_pack(dx + i, gs);
  }
}

/// Block (tile of columns, line): lines[line, column] = sum of dy * x * inverse over its rows.
template <typename T, int N>
__global__ void __launch_bounds__(kRowThreads)
    weight_kernel(RmsNormSaved<T> saved, const T* dy, std::int64_t tiles, float* lines) {
  const std::int64_t line = blockIdx.x / tiles;
  const std::int64_t tile = blockIdx.x % tiles;
  const std::int64_t column = (tile * blockDim.x + threadIdx.x) * N;
  if (column >= saved.columns) return;
  const std::int64_t begin = line * kRowsPerLine;
  const std::int64_t end = begin + kRowsPerLine < saved.rows ? begin + kRowsPerLine : saved.rows;
  float sum[N] = {};
  for (std::int64_t row = begin; row < end; ++row) {
    const Pack<T, N> xs = read_pack<N>(saved.x + row * saved.columns + column);
    const Pack<T, N> gs = read_pack<N>(dy + row * saved.columns + column);
    const float inverse = saved.inverse_rms[row];
    for (int j = 0; j < N; ++j) sum[j] += widen(gs.value[j]) * widen(xs.value[j]) * inverse;
  }
  for (int j = 0; j < N; ++j) lines[line * saved.columns + column + j] = sum[j];
}

std::int64_t lines_of(std::int64_t rows) { return (rows + kRowsPerLine - 1) / kRowsPerLine; }

}  // namespace

std::int64_t rms_norm_scratch_floats(std::int64_t rows, std::int64_t columns) {
  return lines_of(rows) * columns;
}

template <typename T>
void rms_norm_forward(const T* x, const T* weight, T* y, float* inverse_rms, std::int64_t rows,
                      std::int64_t columns, float epsilon, Stream stream) {
  if (rows == 0) return;
  const bool packs = fits_packs<T>(columns, x, weight, y);
  const auto kernel = packs ? forward_kernel<T, kPack<T>> : forward_kernel<T, 1>;
  const Grid grid = grid_of_rows(rows, columns, packs ? kPack<T> : 1);
  launch("rms_norm_forward", grid, stream, kernel, x, weight, y, inverse_rms, columns, epsilon);
}

template <typename T>
void rms_norm_backward(const RmsNormSaved<T>& saved, const T* dy, T* dx, bool adds,
                       float* weight_gradient, float* scratch, Stream stream) {
  if (saved.rows == 0) return;
  const bool packs = fits_packs<T>(saved.columns, saved.x, saved.weight, dy, dx);
  const int pack = packs ? kPack<T> : 1;
  const unsigned threads = threads_of_row(saved.columns, pack);
  const std::int64_t columns_per_tile = std::int64_t{threads} * pack;
  const std::int64_t tiles = (saved.columns + columns_per_tile - 1) / columns_per_tile;
  const std::int64_t lines = lines_of(saved.rows);
  const auto weight = packs ? weight_kernel<T, kPack<T>> : weight_kernel<T, 1>;
  launch("rms_norm_weight", {.blocks_x = static_cast<unsigned>(tiles * lines), .threads = threads},
         stream, weight, saved, dy, tiles, scratch);
  add_lines("rms_norm_weight_sum", scratch, lines, saved.columns, adds, weight_gradient, stream);

  const auto kernel = packs ? backward_kernel<T, kPack<T>> : backward_kernel<T, 1>;
  launch("rms_norm_backward", {.blocks_x = static_cast<unsigned>(saved.rows), .threads = threads},
         stream, kernel, saved, dy, dx);
}

template void rms_norm_forward(const float*, const float*, float*, float*, std::int64_t,
                               std::int64_t, float, Stream);
template void rms_norm_forward(const BFloat16Bits*, const BFloat16Bits*, BFloat16Bits*, float*,
                               std::int64_t, std::int64_t, float, Stream);
template void rms_norm_backward(const RmsNormSaved<float>&, const float*, float*, bool, float*,
                                float*, Stream);
template void rms_norm_backward(const RmsNormSaved<BFloat16Bits>&, const BFloat16Bits*,
                                BFloat16Bits*, bool, float*, float*, Stream);

}  // namespace hetmoe::gpu
