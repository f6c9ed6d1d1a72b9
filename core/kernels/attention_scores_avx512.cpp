#include <algorithm>

#include "core/kernels/attention_scores.h"
#include "core/kernels/avx512_bf16.h"

// The same as the plain functions on a processor that narrows to bf16 by itself: 16 queries and two
// keys at a time. Only rows at the edges of what the 16 attend to are masked, those beyond them are
// not read. What a bf16 could only hold as a denormal becomes 0.

namespace hetmoe {
namespace {

using c10::BFloat16;
constexpr std::int64_t kQueries = kScoreQueries;
constexpr std::int64_t kLanes = 16;
constexpr float kLog2E = 1.44269504F;

/// 2^x for x <= 0 but for rounding, relative error below 2e-7; 2^-125 below that. NaN stays NaN:
/// those that come of bf16 have zeros in the bits that reach the exponent.
HETMOE_AVX512_BF16 inline __m512 power_of_two(__m512 x) {
  x = _mm512_max_ps(_mm512_set1_ps(-125.0F), x);  // the second operand wins where one is NaN
  // Adding 1.5 * 2^23 rounds to the nearest integer, which the lowest bits then hold.
  const __m512 magic = _mm512_set1_ps(12582912.0F);
  const __m512 shifted = _mm512_add_ps(x, magic);
  const __m512 r = _mm512_sub_ps(x, _mm512_sub_ps(shifted, magic));
  __m512 p = _mm512_set1_ps(1.32764725e-3F);
  for (const float coefficient : {9.67554189e-3F, 5.55071309e-2F, 0.240221202F, 0.693146944F}) {
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(coefficient));
  }
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F));
  const __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(shifted), 23);
  return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), exponent));
}

/// The same two rows below each other.
HETMOE_AVX512_BF16 inline void store_tile_rows(__m512i rows, BFloat16* first) {
  store_rows(rows, first, first + kQueries);
}

/// Rows of a tile by what 16 queries see of them, all even: none of [0, begin) and from end on, all
/// of [full_begin, full_end), some of the rest.
struct SeenRows {
  std::int64_t begin, full_begin, full_end, end;
};

HETMOE_AVX512_BF16 SeenRows seen_rows(const ScoreTile& tile, __m512i first_seen,
                                      __m512i last_seen) {
  const auto row_of = [&](std::int32_t position) {
    return std::clamp<std::int64_t>(position - tile.first_key, 0, tile.keys);
  };
  const auto up = [](std::int64_t row) { return (row + 1) / 2 * 2; };
  SeenRows rows;
  rows.begin = row_of(_mm512_reduce_min_epi32(first_seen)) / 2 * 2;
  rows.end = std::max(rows.begin, up(row_of(_mm512_reduce_max_epi32(last_seen) + 1)));
  rows.full_begin =
      std::clamp(up(row_of(_mm512_reduce_max_epi32(first_seen))), rows.begin, rows.end);
  rows.full_end =
      std::clamp(row_of(_mm512_reduce_min_epi32(last_seen) + 1) / 2 * 2, rows.full_begin, rows.end);
  return rows;
}

/// Which of 16 queries attend to a key.
struct Mask {
  __m512i first_seen, last_seen;

  HETMOE_AVX512_BF16 __mmask16 of(std::int64_t key) const {
    const __m512i position = _mm512_set1_epi32(static_cast<std::int32_t>(key));
    return _mm512_cmpge_epi32_mask(position, first_seen) &
           _mm512_cmple_epi32_mask(position, last_seen);
  }
};

HETMOE_AVX512_BF16 Mask mask_of(const ScoreTile& tile, std::int64_t query) {
  return {_mm512_loadu_si512(tile.first_seen + query), _mm512_loadu_si512(tile.last_seen + query)};
}

/// Columns of 16 queries, and where their rows lie.
struct Columns {
  const ScoreTile& tile;
  Mask mask;
  SeenRows rows;
  std::int64_t query;

  HETMOE_AVX512_BF16 __mmask16 seen(std::int64_t row) const {
    return mask.of(tile.first_key + row);
  }
};

HETMOE_AVX512_BF16 void zero_pairs(std::uint32_t* pairs, const Columns& columns) {
  const std::int64_t end = columns.tile.padded_rows();
  for (std::int64_t row = 0; row < end; row += 2) {
    if (row == columns.rows.begin) row = columns.rows.end;
    if (row >= end) break;
    _mm512_storeu_si512(pairs + row / 2 * kQueries + columns.query, _mm512_setzero_si512());
  }
}

HETMOE_AVX512_BF16 void zero_rows(BFloat16* values, const Columns& columns) {
  const std::int64_t end = columns.tile.padded_rows();
  for (std::int64_t row = 0; row < end; row += 2) {
    if (row == columns.rows.begin) row = columns.rows.end;
    if (row >= end) break;
    store_tile_rows(_mm512_setzero_si512(), values + row * kQueries + columns.query);
  }
}

template <bool kMasked>
HETMOE_AVX512_BF16 inline __m512 peak_of(const float* scores, const Columns& columns,
                                         std::int64_t begin, std::int64_t end, __m512 peak) {
  for (std::int64_t row = begin; row < end; ++row) {
    const __m512 score = _mm512_loadu_ps(scores + row * kQueries + columns.query);
    if constexpr (kMasked) {
      peak = _mm512_mask_max_ps(peak, columns.seen(row), score, peak);
    } else {
      peak = _mm512_max_ps(score, peak);
    }
  }
  return peak;
}

struct Sums {
  __m512 even, odd;
};

template <bool kMasked>
HETMOE_AVX512_BF16 inline void exponentials(const float* scores, const Columns& columns,
                                            std::int64_t begin, std::int64_t end, __m512 scale,
                                            __m512 scaled_peak, Sums& sums, std::uint32_t* pairs) {
  for (std::int64_t row = begin; row < end; row += 2) {
    const float* in = scores + row * kQueries + columns.query;
    __m512 p[2];
    for (int i = 0; i < 2; ++i) {
      p[i] = power_of_two(_mm512_fmsub_ps(_mm512_loadu_ps(in + i * kQueries), scale, scaled_peak));
      if constexpr (kMasked) p[i] = _mm512_maskz_mov_ps(columns.seen(row + i), p[i]);
    }
    sums.even = _mm512_add_ps(sums.even, p[0]);
    sums.odd = _mm512_add_ps(sums.odd, p[1]);
    store_pairs(narrowed(p[0], p[1]), pairs + row / 2 * kQueries + columns.query);
  }
}

/// What a query's score has taken away and its gradient depends on.
struct QueryTerms {
  __m512 scale, scaled_log_sum, dot;
};

template <bool kMasked>
HETMOE_AVX512_BF16 inline void gradients(const float* scores, const float* dprobabilities,
                                         const Columns& columns, std::int64_t begin,
                                         std::int64_t end, const QueryTerms& terms,
                                         const ScoreGradients& out) {
  for (std::int64_t row = begin; row < end; row += 2) {
    const std::int64_t at = row * kQueries + columns.query;
    __m512 p[2], ds[2];
    for (int i = 0; i < 2; ++i) {
      const __m512 score = _mm512_loadu_ps(scores + at + i * kQueries);
      const __m512 dp = _mm512_loadu_ps(dprobabilities + at + i * kQueries);
      p[i] = power_of_two(_mm512_fmsub_ps(score, terms.scale, terms.scaled_log_sum));
      ds[i] = _mm512_mul_ps(p[i], _mm512_sub_ps(dp, terms.dot));
      if constexpr (kMasked) {
        const __mmask16 seen = columns.seen(row + i);
        p[i] = _mm512_maskz_mov_ps(seen, p[i]);
        ds[i] = _mm512_maskz_mov_ps(seen, ds[i]);
      }
    }
    store_tile_rows(narrowed(p[0], p[1]), out.probabilities + at);
    const __m512i dscores = narrowed(ds[0], ds[1]);
    store_tile_rows(dscores, out.dscores + at);
    store_pairs(dscores, out.dscore_pairs + row / 2 * kQueries + columns.query);
  }
}

HETMOE_AVX512_BF16 Columns columns_of(const ScoreTile& tile, std::int64_t query) {
  const Mask mask = mask_of(tile, query);
  return {tile, mask, seen_rows(tile, mask.first_seen, mask.last_seen), query};
}

}  // namespace

HETMOE_AVX512_BF16 void avx512_softmax_tile(const float* scores, const ScoreTile& tile,
                                            RunningSoftmax& softmax, std::uint32_t* pairs) {
  const __m512 scale = _mm512_set1_ps(tile.scale * kLog2E);
  for (std::int64_t query = 0; query < kQueries; query += kLanes) {
    const Columns columns = columns_of(tile, query);
    const auto [begin, full_begin, full_end, end] = columns.rows;
    const __m512 earlier = _mm512_loadu_ps(softmax.peak + query);
    __m512 peak = peak_of<true>(scores, columns, begin, full_begin, earlier);
    peak = peak_of<false>(scores, columns, full_begin, full_end, peak);
    peak = peak_of<true>(scores, columns, full_end, end, peak);
    const __m512 correction = power_of_two(_mm512_mul_ps(_mm512_sub_ps(earlier, peak), scale));
    const __m512 scaled_peak = _mm512_mul_ps(peak, scale);
    Sums sums{_mm512_mul_ps(_mm512_loadu_ps(softmax.sum + query), correction), _mm512_setzero_ps()};
    exponentials<true>(scores, columns, begin, full_begin, scale, scaled_peak, sums, pairs);
    exponentials<false>(scores, columns, full_begin, full_end, scale, scaled_peak, sums, pairs);
    exponentials<true>(scores, columns, full_end, end, scale, scaled_peak, sums, pairs);
    zero_pairs(pairs, columns);
    _mm512_storeu_ps(softmax.peak + query, peak);
    _mm512_storeu_ps(softmax.sum + query, _mm512_add_ps(sums.even, sums.odd));
    _mm512_storeu_ps(softmax.correction + query, correction);
  }
}

HETMOE_AVX512_BF16 void avx512_score_gradient_tile(const float* scores, const float* dprobabilities,
                                                   const ScoreTile& tile, const float* log_sum_exp,
                                                   const float* dot, const ScoreGradients& out) {
  const __m512 log2_e = _mm512_set1_ps(kLog2E);
  for (std::int64_t query = 0; query < kQueries; query += kLanes) {
    const Columns columns = columns_of(tile, query);
    const auto [begin, full_begin, full_end, end] = columns.rows;
    const QueryTerms terms{_mm512_set1_ps(tile.scale * kLog2E),
                           _mm512_mul_ps(_mm512_loadu_ps(log_sum_exp + query), log2_e),
                           _mm512_loadu_ps(dot + query)};
    gradients<true>(scores, dprobabilities, columns, begin, full_begin, terms, out);
    gradients<false>(scores, dprobabilities, columns, full_begin, full_end, terms, out);
    gradients<true>(scores, dprobabilities, columns, full_end, end, terms, out);
    zero_rows(out.probabilities, columns);
    zero_rows(out.dscores, columns);
    zero_pairs(out.dscore_pairs, columns);
  }
}

}  // namespace hetmoe
