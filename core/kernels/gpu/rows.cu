#include "core/kernels/gpu/rows.h"

#include <kernel_language.h>

#include "core/kernels/gpu/packs.h"

namespace hetmoe::gpu {
namespace {

template <typename T, int N>
__device__ void copy_row(const T* from, T* to, std::int64_t columns) {
  for (std::int64_t i = threadIdx.x * N; i < columns; i += blockDim.x * N) {
    write_pack(to + i, read_pack<N>(from + i));
  }
}

template <typename T, int N>
__global__ void __launch_bounds__(kRowThreads)
    gather_kernel(const T* x, const std::int32_t* index, T* out, std::int64_t columns) {
  const std::int64_t row = blockIdx.x;
  copy_row<T, N>(x + index[row] * columns, out + row * columns, columns);
}

template <typename T, int N>
__global__ void __launch_bounds__(kRowThreads)
    scatter_kernel(const T* x, const std::int32_t* index, T* target, std::int64_t columns) {
  const std::int64_t row = blockIdx.x;
  copy_row<T, N>(x + row * columns, target + index[row] * columns, columns);
}

template <int N, typename T>
__device__ __forceinline__ void add_pack(float (&sum)[N], const T* from) {
  const Pack<T, N> pack = read_pack<N>(from);
  for (int j = 0; j < N; ++j) sum[j] += widen(pack.value[j]);
}

template <typename T, int N>
__global__ void __launch_bounds__(kRowThreads)
    sum_kernel(const T* x, RowSums rows, const T* plus, T* out, std::int64_t columns) {
  const std::int64_t row = blockIdx.x;
  const std::int32_t* positions = rows.positions + row * rows.capacity;
  for (std::int64_t i = threadIdx.x * N; i < columns; i += blockDim.x * N) {
    float sum[N] = {};
    for (std::int64_t entry = 0; entry < rows.capacity; ++entry) {
      const std::int64_t position = positions[entry];
      if (position >= 0) add_pack<N>(sum, x + position * columns + i);
    }
    if (plus != nullptr) add_pack<N>(sum, plus + row * columns + i);
    Pack<T, N> rounded;
    for (int j = 0; j < N; ++j) rounded.value[j] = narrow_to<T>(sum[j]);
    write_pack(out + row * columns + i, rounded);
  }
}

}  // namespace

template <typename T>
void gather_rows(const T* x, const std::int32_t* index, T* out, std::int64_t rows,
                 std::int64_t columns, Stream stream) {
  if (rows == 0) return;
  const bool packs = fits_packs<T>(columns, x, out);
  const auto kernel = packs ? gather_kernel<T, kPack<T>> : gather_kernel<T, 1>;
  launch("gather_rows", grid_of_rows(rows, columns, packs ? kPack<T> : 1), stream, kernel, x, index,
         out, columns);
}

template <typename T>
void scatter_rows(const T* x, const std::int32_t* index, T* target, std::int64_t rows,
                  std::int64_t columns, Stream stream) {
  if (rows == 0) return;
  const bool packs = fits_packs<T>(columns, x, target);
  const auto kernel = packs ? scatter_kernel<T, kPack<T>> : scatter_kernel<T, 1>;
  launch("scatter_rows", grid_of_rows(rows, columns, packs ? kPack<T> : 1), stream, kernel, x,
         index, target, columns);
}

template <typename T>
void sum_rows(const T* x, const RowSums& rows, const T* plus, T* out, std::int64_t columns,
              Stream stream) {
  if (rows.sums == 0) return;
  const bool packs = fits_packs<T>(columns, x, plus, out);
  const auto kernel = packs ? sum_kernel<T, kPack<T>> : sum_kernel<T, 1>;
  launch("sum_rows", grid_of_rows(rows.sums, columns, packs ? kPack<T> : 1), stream, kernel, x,
         rows, plus, out, columns);
}

template void gather_rows(const float*, const std::int32_t*, float*, std::int64_t, std::int64_t,
                          Stream);
template void gather_rows(const BFloat16Bits*, const std::int32_t*, BFloat16Bits*, std::int64_t,
                          std::int64_t, Stream);
template void scatter_rows(const float*, const std::int32_t*, float*, std::int64_t, std::int64_t,
                           Stream);
template void scatter_rows(const BFloat16Bits*, const std::int32_t*, BFloat16Bits*, std::int64_t,
                           std::int64_t, Stream);
template void sum_rows(const float*, const RowSums&, const float*, float*, std::int64_t, Stream);
template void sum_rows(const BFloat16Bits*, const RowSums&, const BFloat16Bits*, BFloat16Bits*,
                       std::int64_t, Stream);

}  // namespace hetmoe::gpu
