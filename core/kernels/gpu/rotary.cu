#include "core/kernels/gpu/rotary.h"

#include <kernel_language.h>

#include <cmath>

#include "core/kernels/gpu/packs.h"

namespace hetmoe::gpu {
namespace {

// Of the block's row. In 32 bits: a division of 64 takes many times as long.
__device__ unsigned position_of(const RotaryShape& shape) {
  return blockIdx.x % static_cast<unsigned>(shape.length);
}

/// One head of one row of qkv, in both places where it lies.
template <typename T>
struct HeadPlace {
  T* apart;             ///< among the heads
  std::int64_t in_row;  ///< elements from the begin of the row
  bool rotates;
};

template <typename T>
__device__ HeadPlace<T> place_of(const RotaryShape& shape, const RotaryHeads<T>& heads,
                                 std::int64_t head) {
  const std::int64_t in_row = head * shape.head_dim;
  const auto place = [&](T* begin, std::int64_t of_row, std::int64_t index, bool rotates) {
    const std::int64_t before = blockIdx.x * of_row + index;
    return HeadPlace<T>{begin + before * shape.head_dim, in_row, rotates};
  };
  if (head < shape.num_heads) return place(heads.query, shape.num_heads, head, true);
  head -= shape.num_heads;
  if (head < shape.num_kv_heads) return place(heads.key, shape.num_kv_heads, head, true);
  return place(heads.value, shape.num_kv_heads, head - shape.num_kv_heads, false);
}

/// At most 16 bytes at a time, as aligned as the elements that they turn.
template <int N>
__device__ void read_angles(const float* from, float (&to)[N]) {
  constexpr int kAtOnce = N < kPack<float> ? N : kPack<float>;
  for (int first = 0; first < N; first += kAtOnce) {
    const Pack<float, kAtOnce> pack = read_pack<kAtOnce>(from + first);
    for (int j = 0; j < kAtOnce; ++j) to[first + j] = pack.value[j];
  }
}

/// to = from, rotated by the angles of its position; `direction` -1 turns back.
template <int N, typename T>
__device__ void rotate(const T* from, T* to, const float* cosines, const float* sines,
                       float direction, std::int64_t half) {
  float cosine[N];
  float sine[N];
  read_angles(cosines, cosine);
  read_angles(sines, sine);
  Pack<T, N> low = read_pack<N>(from);
  Pack<T, N> high = read_pack<N>(from + half);
  for (int j = 0; j < N; ++j) {
    const float a = widen(low.value[j]);
    const float b = widen(high.value[j]);
    low.value[j] = narrow_to<T>(a * cosine[j] - direction * b * sine[j]);
    high.value[j] = narrow_to<T>(b * cosine[j] + direction * a * sine[j]);
  }
  write_pack(to, low);
  write_pack(to + half, high);
}

template <int N, typename T>
__device__ void copy_halves(const T* from, T* to, std::int64_t half) {
  write_pack(to, read_pack<N>(from));
  write_pack(to + half, read_pack<N>(from + half));
}

/// Calls body(place, i) for every pack of the lower halves of the heads in this block's row.
template <int N, typename T, typename Body>
__device__ void for_each_half_pack(const RotaryShape& shape, const RotaryHeads<T>& heads,
                                   Body body) {
  const auto packs_of_half = static_cast<unsigned>(shape.head_dim / 2 / N);
  const auto packs =
      static_cast<unsigned>(shape.num_heads + 2 * shape.num_kv_heads) * packs_of_half;
  for (unsigned pack = threadIdx.x; pack < packs; pack += blockDim.x) {
    const std::int64_t i = static_cast<std::int64_t>(pack % packs_of_half) * N;
    body(place_of(shape, heads, pack / packs_of_half), i);
  }
}

__device__ std::int64_t row_width(const RotaryShape& shape) {
  return (shape.num_heads + 2 * shape.num_kv_heads) * shape.head_dim;
}

template <typename T, int N>
__global__ void __launch_bounds__(kRowThreads)
    split_kernel(RotaryShape shape, RotaryTable table, const T* qkv, RotaryHeads<T> heads) {
  const std::int64_t half = shape.head_dim / 2;
  const std::int64_t angles = position_of(shape) * half;
  const T* row = qkv + blockIdx.x * row_width(shape);
  for_each_half_pack<N>(shape, heads, [&](const HeadPlace<T>& place, std::int64_t i) {
    const T* from = row + place.in_row + i;
    if (!place.rotates) return copy_halves<N>(from, place.apart + i, half);
    rotate<N>(from, place.apart + i, table.cosine + angles + i, table.sine + angles + i, 1.0F,
              half);
  });
}

template <typename T, int N>
__global__ void __launch_bounds__(kRowThreads)
    join_kernel(RotaryShape shape, RotaryTable table, RotaryHeads<const T> heads, T* qkv) {
  const std::int64_t half = shape.head_dim / 2;
  const std::int64_t angles = position_of(shape) * half;
  T* row = qkv + blockIdx.x * row_width(shape);
  for_each_half_pack<N>(shape, heads, [&](const HeadPlace<const T>& place, std::int64_t i) {
    T* to = row + place.in_row + i;
    if (!place.rotates) return copy_halves<N>(place.apart + i, to, half);
    rotate<N>(place.apart + i, to, table.cosine + angles + i, table.sine + angles + i, -1.0F, half);
  });
}

template <typename T>
Grid grid_of(const RotaryShape& shape, bool packs) {
  const std::int64_t half_row = (shape.num_heads + 2 * shape.num_kv_heads) * shape.head_dim / 2;
  return grid_of_rows(shape.sequences * shape.length, half_row, packs ? kPack<T> : 1);
}

template <typename T, typename Heads>
bool fits(const RotaryShape& shape, const RotaryTable& table, const T* qkv, const Heads& heads) {
  return fits_packs<T>(shape.head_dim / 2, qkv, heads.query, heads.key, heads.value) &&
         fits_packs<float>(0, table.cosine, table.sine);
}

}  // namespace

void fill_rotary_table(const RotaryShape& shape, double theta, float* cosine, float* sine) {
  const std::int64_t half = shape.head_dim / 2;
  for (std::int64_t i = 0; i < half; ++i) {
    const double frequency =
        std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(shape.head_dim));
    for (std::int64_t position = 0; position < shape.length; ++position) {
      const double angle = static_cast<double>(position) * frequency;
      cosine[position * half + i] = static_cast<float>(std::cos(angle));
      sine[position * half + i] = static_cast<float>(std::sin(angle));
    }
  }
}

template <typename T>
void split_and_rotate(const RotaryShape& shape, const RotaryTable& table, const T* qkv,
                      const RotaryHeads<T>& heads, Stream stream) {
  if (shape.sequences * shape.length == 0) return;
  const bool packs = fits(shape, table, qkv, heads);
  const auto kernel = packs ? split_kernel<T, kPack<T>> : split_kernel<T, 1>;
  launch("split_and_rotate", grid_of<T>(shape, packs), stream, kernel, shape, table, qkv, heads);
}

template <typename T>
void rotate_back_and_join(const RotaryShape& shape, const RotaryTable& table,
                          const RotaryHeads<const T>& heads, T* qkv, Stream stream) {
  if (shape.sequences * shape.length == 0) return;
  const bool packs = fits(shape, table, qkv, heads);
  const auto kernel = packs ? join_kernel<T, kPack<T>> : join_kernel<T, 1>;
  launch("rotate_back_and_join", grid_of<T>(shape, packs), stream, kernel, shape, table, heads,
         qkv);
}

template void split_and_rotate(const RotaryShape&, const RotaryTable&, const float*,
                               const RotaryHeads<float>&, Stream);
template void split_and_rotate(const RotaryShape&, const RotaryTable&, const BFloat16Bits*,
                               const RotaryHeads<BFloat16Bits>&, Stream);
template void rotate_back_and_join(const RotaryShape&, const RotaryTable&,
                                   const RotaryHeads<const float>&, float*, Stream);
template void rotate_back_and_join(const RotaryShape&, const RotaryTable&,
                                   const RotaryHeads<const BFloat16Bits>&, BFloat16Bits*, Stream);

}  // namespace hetmoe::gpu
