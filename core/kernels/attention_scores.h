#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace hetmoe {

/// What happens to attention's scores between its products, while a tile of them is in the cache.
/// A tile has a row per key and a column per query, kScoreQueries of them: maxima and sums of a
/// query run down its column, and what is made is laid out as the next product reads it.
/// All buffers hold padded_rows() rows. Pairs are words [padded_rows() / 2][kScoreQueries]: two
/// keys that follow one another, the lower one in the low half.
inline constexpr std::int64_t kScoreQueries = 64;

struct ScoreTile {
  std::int64_t first_key;          ///< position of the key of row 0
  std::int64_t keys;               ///< rows
  float scale;                     ///< of the scores, positive
  const std::int32_t* first_seen;  ///< [kScoreQueries]: first position that a query attends to
  const std::int32_t* last_seen;   ///< [kScoreQueries]: the last one; the tile ends at or before
                                   ///< the largest, or has an even number of keys

  std::int64_t padded_rows() const { return (keys + 31) / 32 * 32; }
};

/// The softmax of a block of queries after some of its tiles: one value per query.
struct RunningSoftmax {
  alignas(64) float peak[kScoreQueries];        ///< largest score, not scaled
  alignas(64) float sum[kScoreQueries];         ///< of exp(scale * (score - peak))
  alignas(64) float correction[kScoreQueries];  ///< of sums over earlier tiles, by the newest one

  void reset();
};

/// pairs = exp(scale * (score - peak)) in bf16, with the peak of this tile and all before it; 0
/// where a query does not attend and in padding. NaN gives NaN.
void softmax_tile(const float* scores, const ScoreTile& tile, RunningSoftmax& softmax,
                  std::uint32_t* pairs);

/// What backward makes of a tile: p = exp(scale * score - log_sum_exp) and ds = p * (dp - dot), in
/// bf16, 0 as above. Rows of keys, kScoreQueries long, and ds in pairs as well.
struct ScoreGradients {
  c10::BFloat16* probabilities;
  c10::BFloat16* dscores;
  std::uint32_t* dscore_pairs;
};
void score_gradient_tile(const float* scores, const float* dprobabilities, const ScoreTile& tile,
                         const float* log_sum_exp, const float* dot, const ScoreGradients& out);

/// The two that those above choose from: loops in plain words for any processor, and hand-written
/// ones for AVX-512 with bf16, which may be called where has_avx512_bf16().
void plain_softmax_tile(const float* scores, const ScoreTile& tile, RunningSoftmax& softmax,
                        std::uint32_t* pairs);
void plain_score_gradient_tile(const float* scores, const float* dprobabilities,
                               const ScoreTile& tile, const float* log_sum_exp, const float* dot,
                               const ScoreGradients& out);
void avx512_softmax_tile(const float* scores, const ScoreTile& tile, RunningSoftmax& softmax,
                         std::uint32_t* pairs);
void avx512_score_gradient_tile(const float* scores, const float* dprobabilities,
                                const ScoreTile& tile, const float* log_sum_exp, const float* dot,
                                const ScoreGradients& out);

}  // namespace hetmoe
