#include "core/kernels/attention_scores.h"

#include <algorithm>
#include <limits>

#include "core/kernels/processor.h"
#include "core/kernels/vector_math.h"

namespace hetmoe {
namespace {

using c10::BFloat16;
constexpr std::int64_t kQueries = kScoreQueries;

HETMOE_INLINE bool attends(const ScoreTile& tile, std::int64_t row, std::int64_t query) {
  const auto key = static_cast<std::int32_t>(tile.first_key + row);
  return row < tile.keys && key >= tile.first_seen[query] && key <= tile.last_seen[query];
}

/// Lays values of a row into its half of the pairs.
HETMOE_INLINE void store_half(const BFloat16* values, std::int64_t row, std::uint32_t* pairs) {
  std::uint32_t* out = pairs + row / 2 * kQueries;
  const int shift = row % 2 == 0 ? 0 : 16;
  for (std::int64_t q = 0; q < kQueries; ++q) {
    const std::uint32_t bits = static_cast<std::uint32_t>(values[q].x) << shift;
    out[q] = shift == 0 ? bits : out[q] | bits;
  }
}

}  // namespace

void RunningSoftmax::reset() {
  // Finite: the difference of two such peaks is 0.
  std::fill_n(peak, kQueries, std::numeric_limits<float>::lowest());
  std::fill_n(sum, kQueries, 0.0F);
}

HETMOE_VECTORIZED void plain_softmax_tile(const float* scores, const ScoreTile& tile,
                                          RunningSoftmax& softmax, std::uint32_t* pairs) {
  float peak[kQueries];
  for (std::int64_t q = 0; q < kQueries; ++q) peak[q] = softmax.peak[q];
  for (std::int64_t row = 0; row < tile.keys; ++row) {
    const float* score = scores + row * kQueries;
    for (std::int64_t q = 0; q < kQueries; ++q) {
      peak[q] = attends(tile, row, q) && score[q] > peak[q] ? score[q] : peak[q];
    }
  }
  for (std::int64_t q = 0; q < kQueries; ++q) {
    softmax.correction[q] = exponential_below_peak((softmax.peak[q] - peak[q]) * tile.scale);
    softmax.sum[q] *= softmax.correction[q];
    softmax.peak[q] = peak[q];
  }
  for (std::int64_t row = 0; row < tile.padded_rows(); ++row) {
    const float* score = scores + row * kQueries;
    BFloat16 probability[kQueries];
    for (std::int64_t q = 0; q < kQueries; ++q) {
      const bool seen = attends(tile, row, q);
      const float p = exponential_below_peak(seen ? (score[q] - peak[q]) * tile.scale : 0.0F);
      softmax.sum[q] += seen ? p : 0.0F;
      probability[q] = narrow_to_bfloat16(seen ? p : 0.0F);
    }
    store_half(probability, row, pairs);
  }
}

HETMOE_VECTORIZED void plain_score_gradient_tile(const float* scores, const float* dprobabilities,
                                                 const ScoreTile& tile, const float* log_sum_exp,
                                                 const float* dot, const ScoreGradients& out) {
  for (std::int64_t row = 0; row < tile.padded_rows(); ++row) {
    const std::int64_t at = row * kQueries;
    for (std::int64_t q = 0; q < kQueries; ++q) {
      const bool seen = attends(tile, row, q);
      const float exponent = seen ? scores[at + q] * tile.scale - log_sum_exp[q] : 0.0F;
      const float p = exponential_below_peak(exponent);
      const float ds = p * (dprobabilities[at + q] - dot[q]);
      out.probabilities[at + q] = narrow_to_bfloat16(seen ? p : 0.0F);
      out.dscores[at + q] = narrow_to_bfloat16(seen ? ds : 0.0F);
    }
    store_half(out.dscores + at, row, out.dscore_pairs);
  }
}

void softmax_tile(const float* scores, const ScoreTile& tile, RunningSoftmax& softmax,
                  std::uint32_t* pairs) {
  static const bool fast = has_avx512_bf16();
  (fast ? avx512_softmax_tile : plain_softmax_tile)(scores, tile, softmax, pairs);
}

void score_gradient_tile(const float* scores, const float* dprobabilities, const ScoreTile& tile,
                         const float* log_sum_exp, const float* dot, const ScoreGradients& out) {
  static const bool fast = has_avx512_bf16();
  (fast ? avx512_score_gradient_tile : plain_score_gradient_tile)(scores, dprobabilities, tile,
                                                                  log_sum_exp, dot, out);
}

}  // namespace hetmoe
