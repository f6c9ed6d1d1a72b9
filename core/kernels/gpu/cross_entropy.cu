#include "core/kernels/gpu/cross_entropy.h"

#include <kernel_language.h>

#include "core/kernels/gpu/cross_entropy_arithmetic.h"
#include "core/kernels/gpu/packs.h"
#include "core/kernels/gpu/reductions.h"

namespace hetmoe::gpu {
namespace {

/// sum(exp(row)) of the block's row, on every thread.
template <int N, typename T>
__device__ ExponentialSum sum_of_row(const T* row, std::int64_t columns) {
  ExponentialSum part;
  for (std::int64_t i = threadIdx.x * N; i < columns; i += blockDim.x * N) {
    const Pack<T, N> pack = read_pack<N>(row + i);
    for (int j = 0; j < N; ++j) add_exponential(part, widen(pack.value[j]));
  }
  const float largest = block_max(part.largest);
  return {largest, block_sum(rescaled(part, largest))};
}

__device__ __forceinline__ float loss_of(const ExponentialSum& sum, float target_logit) {
  return logf(sum.sum) + (sum.largest - target_logit);
}

template <typename T, int N>
__global__ void __launch_bounds__(kRowThreads)
    loss_kernel(const T* logits, const std::int32_t* targets, float* loss, std::int64_t columns) {
  const std::int64_t row = blockIdx.x;
  logits += row * columns;
  const ExponentialSum sum = sum_of_row<N>(logits, columns);
  if (threadIdx.x == 0) loss[row] = loss_of(sum, widen(logits[targets[row]]));
}

template <typename T, int N>
__global__ void __launch_bounds__(kRowThreads)
    gradient_kernel(T* logits, const std::int32_t* targets, float scale, float* loss,
                    std::int64_t columns) {
  const std::int64_t row = blockIdx.x;
  const std::int64_t target = targets[row];
  logits += row * columns;
  const float target_logit = widen(logits[target]);  // before its thread overwrites it below
  const ExponentialSum sum = sum_of_row<N>(static_cast<const T*>(logits), columns);
  if (threadIdx.x == 0) loss[row] = loss_of(sum, target_logit);
  const float factor = scale / sum.sum;
  for (std::int64_t i = threadIdx.x * N; i < columns; i += blockDim.x * N) {
    Pack<T, N> pack = read_pack<N>(logits + i);
    for (int j = 0; j < N; ++j) {
      const float share = expf(widen(pack.value[j]) - sum.largest) * factor;
      pack.value[j] = narrow_to<T>(i + j == target ? share - scale : share);
    }
    write_pack(logits + i, pack);
  }
}

}  // namespace

template <typename T>
void cross_entropy(const T* logits, const std::int32_t* targets, float* loss, std::int64_t rows,
                   std::int64_t columns, Stream stream) {
  if (rows == 0) return;
  const bool packs = fits_packs<T>(columns, logits);
  const auto kernel = packs ? loss_kernel<T, kPack<T>> : loss_kernel<T, 1>;
  launch("cross_entropy", grid_of_rows(rows, columns, packs ? kPack<T> : 1), stream, kernel, logits,
         targets, loss, columns);
}

template <typename T>
void cross_entropy_with_gradient(T* logits, const std::int32_t* targets, float gradient_scale,
                                 float* loss, std::int64_t rows, std::int64_t columns,
                                 Stream stream) {
  if (rows == 0) return;
  const bool packs = fits_packs<T>(columns, logits);
  const auto kernel = packs ? gradient_kernel<T, kPack<T>> : gradient_kernel<T, 1>;
  launch("cross_entropy_with_gradient", grid_of_rows(rows, columns, packs ? kPack<T> : 1), stream,
         kernel, logits, targets, gradient_scale, loss, columns);
}

template void cross_entropy(const float*, const std::int32_t*, float*, std::int64_t, std::int64_t,
                            Stream);
template void cross_entropy(const BFloat16Bits*, const std::int32_t*, float*, std::int64_t,
                            std::int64_t, Stream);
template void cross_entropy_with_gradient(float*, const std::int32_t*, float, float*, std::int64_t,
                                          std::int64_t, Stream);
template void cross_entropy_with_gradient(BFloat16Bits*, const std::int32_t*, float, float*,
                                          std::int64_t, std::int64_t, Stream);

}  // namespace hetmoe::gpu
