#pragma once

#include <cstdint>

#include "core/gpu/bfloat16_bits.h"
#include "core/gpu/launch.h"

namespace hetmoe::gpu {

/// Sizes as AttentionShape has them: a row of qkv holds num_heads query heads, then num_kv_heads
/// key heads, then num_kv_heads value heads, each head_dim wide (even).
struct RotaryShape {
  std::int64_t sequences = 0;
  std::int64_t length = 0;
  std::int64_t num_heads = 0;
  std::int64_t num_kv_heads = 0;
  std::int64_t head_dim = 0;
};

/// cos and sin of position * theta^(-2i / head_dim), [length, head_dim / 2] each, on the device.
/// A table, because sines of angles in the ten thousands are not exact in fp32.
struct RotaryTable {
  const float* cosine = nullptr;
  const float* sine = nullptr;
};

/// Fills a table on the host, computed in double: [length, head_dim / 2] each.
void fill_rotary_table(const RotaryShape& shape, double theta, float* cosine, float* sine);

/// Queries, keys and values apart, each row by row as attention on GPUs takes them without a copy;
/// T may be const. All pointers are the device's.
template <typename T>
struct RotaryHeads {
  T* query = nullptr;  ///< [sequences * length, num_heads, head_dim]
  T* key = nullptr;    ///< [sequences * length, num_kv_heads, head_dim]
  T* value = nullptr;  ///< like key
};

/// Splits rows of qkv [sequences * length, (num_heads + 2 num_kv_heads) * head_dim] into heads and
/// rotates queries and keys, halves of a head against each other. Arithmetic in fp32, one rounding.
/// T: float or BFloat16Bits.
template <typename T>
void split_and_rotate(const RotaryShape& shape, const RotaryTable& table, const T* qkv,
                      const RotaryHeads<T>& heads, Stream stream);

/// The reverse: rotates back and joins heads to rows of qkv.
template <typename T>
void rotate_back_and_join(const RotaryShape& shape, const RotaryTable& table,
                          const RotaryHeads<const T>& heads, T* qkv, Stream stream);

}  // namespace hetmoe::gpu
