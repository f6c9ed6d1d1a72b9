#include "core/kernels/gpu/swiglu.h"

#include <kernel_language.h>

#include "core/kernels/gpu/packs.h"
#include "core/kernels/gpu/reductions.h"
#include "core/kernels/gpu/swiglu_arithmetic.h"

namespace hetmoe::gpu {
namespace {

constexpr unsigned kThreads = 256;

/// Where one selection's values lie.
template <typename T>
struct Place {
  int width;
  std::int64_t hidden;  ///< its first element in the hidden buffer
};

template <typename T>
__device__ Place<T> place_of(const SwigluRows<T>& rows, std::int64_t selection) {
  // The last slice that begins at or before it; an empty one begins where the next does.
  unsigned low = 0;
  auto high = static_cast<unsigned>(rows.num_slices);
  while (high - low > 1) {
    const unsigned middle = (low + high) / 2;
    (rows.slices[middle].selection_begin <= selection ? low : high) = middle;
  }
  const SliceSpan& slice = rows.slices[low];
  return {static_cast<int>(slice.width),
          slice.hidden_begin + (selection - slice.selection_begin) * slice.width};
}

template <typename T, int N>
__global__ void __launch_bounds__(kThreads)
    forward_kernel(SwigluRows<T> rows, const T* gate_up, T* hidden) {
  const std::int64_t selection = blockIdx.x;
  const Place<T> place = place_of(rows, selection);
  const float gate = rows.gate[selection];
  const T* g = gate_up + 2 * place.hidden;
  const T* u = g + place.width;
  for (int i = static_cast<int>(threadIdx.x) * N; i < place.width; i += kThreads * N) {
    const Pack<T, N> gs = read_pack<N>(g + i);
    const Pack<T, N> us = read_pack<N>(u + i);
    Pack<T, N> out;
    for (int j = 0; j < N; ++j) {
      out.value[j] = narrow_to<T>(swiglu(widen(gs.value[j]), widen(us.value[j]), gate));
    }
    write_pack(hidden + place.hidden + i, out);
  }
}

template <typename T, int N>
__global__ void __launch_bounds__(kThreads)
    backward_kernel(SwigluRows<T> rows, T* gate_up, T* dhidden, float* dgate) {
  const std::int64_t selection = blockIdx.x;
  const Place<T> place = place_of(rows, selection);
  const float gate = rows.gate[selection];
  T* g = gate_up + 2 * place.hidden;
  T* u = g + place.width;
  T* z = dhidden + place.hidden;
  float sum = 0;
  for (int i = static_cast<int>(threadIdx.x) * N; i < place.width; i += kThreads * N) {
    auto gs = read_pack<N>(g + i);
    auto us = read_pack<N>(u + i);
    auto zs = read_pack<N>(z + i);
    for (int j = 0; j < N; ++j) {
      const SwigluGradient gradient =
          swiglu_gradient(widen(gs.value[j]), widen(us.value[j]), widen(zs.value[j]), gate);
      gs.value[j] = narrow_to<T>(gradient.dg);
      us.value[j] = narrow_to<T>(gradient.du);
      zs.value[j] = narrow_to<T>(gradient.hidden);
      sum += gradient.dgate;
    }
    write_pack(g + i, gs);
    write_pack(u + i, us);
    write_pack(z + i, zs);
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) dgate[selection] = sum;
}

}  // namespace

template <typename T>
void swiglu_forward(const SwigluRows<T>& rows, const T* gate_up, T* hidden, Stream stream) {
  if (rows.selections == 0) return;
  const Grid grid{.blocks_x = static_cast<unsigned>(rows.selections), .threads = kThreads};
  const auto kernel = rows.packs ? forward_kernel<T, kPack<T>> : forward_kernel<T, 1>;
  launch("swiglu_forward", grid, stream, kernel, rows, gate_up, hidden);
}

template <typename T>
void swiglu_backward(const SwigluRows<T>& rows, T* gate_up, T* dhidden, float* dgate,
                     Stream stream) {
  if (rows.selections == 0) return;
  const Grid grid{.blocks_x = static_cast<unsigned>(rows.selections), .threads = kThreads};
  const auto kernel = rows.packs ? backward_kernel<T, kPack<T>> : backward_kernel<T, 1>;
  launch("swiglu_backward", grid, stream, kernel, rows, gate_up, dhidden, dgate);
}

template void swiglu_forward(const SwigluRows<float>&, const float*, float*, Stream);
template void swiglu_forward(const SwigluRows<BFloat16Bits>&, const BFloat16Bits*, BFloat16Bits*,
                             Stream);
template void swiglu_backward(const SwigluRows<float>&, float*, float*, float*, Stream);
template void swiglu_backward(const SwigluRows<BFloat16Bits>&, BFloat16Bits*, BFloat16Bits*, float*,
                              Stream);

}  // namespace hetmoe::gpu
