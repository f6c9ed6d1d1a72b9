#pragma once

#include <ATen/Parallel.h>
#include <c10/util/BFloat16.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>

#include "core/kernels/attention.h"
#include "core/kernels/attention_scores.h"
#include "core/kernels/packed_matrix.h"
#include "core/kernels/packed_product.h"
#include "core/kernels/rotary.h"

/// What both directions of the packed attention share. Scores are transposed, a row per key: the
/// softmax runs down columns, and what it makes is already an operand of the products that follow.
namespace hetmoe {

/// Keys of a tile of scores: its buffers stay in the second cache.
inline constexpr std::int64_t kScoreKeys = 512;

/// Aligned to cache lines, not initialised.
template <typename T>
class AlignedArray {
 public:
  explicit AlignedArray(std::int64_t count)
      : memory_(static_cast<T*>(
            std::aligned_alloc(64, static_cast<std::size_t>(round_up(count * sizeof(T), 64))))) {
    if (!memory_) throw std::bad_alloc();
  }
  T* data() { return memory_.get(); }

 private:
  struct Free {
    void operator()(T* memory) const { std::free(memory); }
  };
  std::unique_ptr<T, Free> memory_;
};

/// kScoreQueries queries of one sequence, the last block's fewer, and what each attends to. Queries
/// that do not exist attend to what the last one does: their columns are finite and never used.
struct QueryBlock {
  std::int64_t begin;  ///< first query position
  std::int64_t count;
  std::int64_t first_key;  ///< first key of its first tile, a multiple of kScoreQueries
  alignas(64) std::int32_t first_seen[kScoreQueries];
  alignas(64) std::int32_t last_seen[kScoreQueries];

  std::int64_t end() const { return begin + count; }
  ScoreTile tile(std::int64_t first, std::int64_t keys, float scale) const {
    return {first, keys, scale, first_seen, last_seen};
  }
};

/// Starts to fetch `count` rows of a head into the second cache. They lie far apart in memory,
/// which the processor does not foresee.
template <bool kWrite = false>
void prefetch_rows(const c10::BFloat16* rows, std::int64_t stride, std::int64_t count,
                   std::int64_t width) {
  constexpr std::int64_t kLine = 32;
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t j = 0; j < width; j += kLine) {
      __builtin_prefetch(rows + i * stride + j, kWrite ? 1 : 0, 2);
    }
  }
}

/// What all tasks of a call read.
class AttentionHeads {
 public:
  AttentionHeads(const AttentionShape& shape, std::span<const std::int32_t> document_begin);

  const AttentionShape& shape() const { return shape_; }
  float scale() const { return scale_; }
  const HeadRotation& rotation() const { return rotation_; }
  std::int64_t group() const { return shape_.num_heads / shape_.num_kv_heads; }
  std::int64_t blocks() const { return (shape_.length + kScoreQueries - 1) / kScoreQueries; }
  /// Keys of the largest tile.
  std::int64_t tile_rows() const { return std::min(kScoreKeys, round_up(shape_.length, 32)); }
  /// From one row of [head_dim, length] to the next.
  std::int64_t transposed_stride() const { return packed_row_stride(shape_.length); }

  QueryBlock block(std::int64_t sequence, std::int64_t index) const;

  /// Fetches queries, keys and values of a block's positions of the query head that comes after
  /// this one.
  void prefetch_next(const c10::BFloat16* qkv, std::int64_t sequence, std::int64_t head,
                     const QueryBlock& block) const;

  /// Offset in qkv of the first row of a head, counted over queries, keys and values.
  std::int64_t head_offset(std::int64_t sequence, std::int64_t head) const {
    return sequence * shape_.length * shape_.row_width() + head * shape_.head_dim;
  }
  /// The same in [T, num_heads * head_dim].
  std::int64_t output_offset(std::int64_t sequence, std::int64_t position,
                             std::int64_t head) const {
    return (sequence * shape_.length + position) * shape_.output_width() + head * shape_.head_dim;
  }

  /// target [head_dim, transposed_stride()]: transpose of a head's rows, zero up to a multiple of
  /// 32 keys, as deep as a tile may be padded.
  void transpose(const c10::BFloat16* rows, std::int64_t stride, c10::BFloat16* target) const;

  /// Calls body(workspace, sequence, key head) for all of them, in parallel.
  template <typename Workspace, typename Body>
  void for_each_key_head(Body body) const {
    at::parallel_for(0, shape_.sequences * shape_.num_kv_heads, 1,
                     [&](std::int64_t begin, std::int64_t end) {
                       Workspace workspace(*this);
                       for (std::int64_t i = begin; i < end; ++i) {
                         body(workspace, i / shape_.num_kv_heads, i % shape_.num_kv_heads);
                       }
                       end_of_blocks();
                     });
  }

 private:
  const AttentionShape& shape_;
  std::span<const std::int32_t> document_begin_;
  float scale_;
  HeadRotation rotation_;
};

}  // namespace hetmoe
