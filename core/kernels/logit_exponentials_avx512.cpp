#include <algorithm>

#include "core/kernels/avx512_bf16.h"
#include "core/kernels/logit_exponentials.h"

// The same as the plain function on a processor that narrows to bf16 by itself, two rows at a time.
// What a bf16 could only hold as a denormal becomes 0.

namespace hetmoe {
namespace {

using c10::BFloat16;
constexpr std::int64_t kTokens = kLogitTokens;
constexpr std::int64_t kLanes = 16;

/// exp(x) to 2e-7 as 2^n 2^f, |f| <= 1/2 and 2^f a polynomial of degree 6; 0 far below, infinity
/// above; NaN stays NaN.
HETMOE_AVX512_BF16 inline __m512 exponential(__m512 x) {
  // The second operand wins where one is NaN.
  x = _mm512_max_ps(_mm512_set1_ps(-200.0F), x);
  const __m512 log2_e = _mm512_set1_ps(1.44269504F);
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, log2_e), 0);
  const __m512 f = _mm512_fmsub_ps(x, log2_e, n);
  __m512 p = _mm512_set1_ps(1.54035304e-4F);
  for (const float coefficient :
       {1.33335581e-3F, 9.61812911e-3F, 5.55041087e-2F, 2.40226507e-1F, 6.93147181e-1F, 1.0F}) {
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(coefficient));
  }
  return _mm512_scalef_ps(p, n);
}

struct TokenSums {
  __m512 references, sums, peaks;
};

HETMOE_AVX512_BF16 inline __m512 add_logits(const float* logits, TokenSums& of) {
  const __m512 x = _mm512_loadu_ps(logits);
  of.peaks = _mm512_max_ps(x, of.peaks);
  const __m512 power = exponential(_mm512_sub_ps(x, of.references));
  of.sums = _mm512_add_ps(of.sums, power);
  return power;
}

/// Past the caches: powers are read again only when those of all the vocabulary are there.
HETMOE_AVX512_BF16 inline void store_line(BFloat16* target, __m512i line) {
  _mm512_stream_si512(reinterpret_cast<__m512i*>(target), line);
}

/// Rows of tokens [t, t + 32), of a row a whole cache line at a time.
HETMOE_AVX512_BF16 inline void add_rows(const float* logits, const LogitTile& tile, std::int64_t t,
                                        TokenSums* of) {
  for (std::int64_t i = 0; i < tile.rows; i += 2) {
    const bool is_pair = i + 1 < tile.rows;
    const float* row = logits + i * kTokens + t;
    __m512 first[2], second[2];
    for (int j = 0; j < 2; ++j) {
      first[j] = add_logits(row + j * kLanes, of[j]);
      second[j] = is_pair ? add_logits(row + kTokens + j * kLanes, of[j]) : _mm512_setzero_ps();
    }
    if (tile.powers == nullptr) continue;
    BFloat16* target = tile.powers + i * tile.stride + t;
    store_line(target, narrowed(first[0], first[1]));
    if (is_pair) store_line(target + tile.stride, narrowed(second[0], second[1]));
    std::uint32_t* pairs = tile.pairs + i / 2 * kTokens + t;
    for (int j = 0; j < 2; ++j) {
      store_pairs(narrowed(first[j], second[j]), pairs + j * kLanes);
    }
  }
}

}  // namespace

HETMOE_AVX512_BF16 void avx512_exponentials_of_logits(const float* logits, const LogitTile& tile) {
  for (std::int64_t t = 0; t < kTokens; t += 2 * kLanes) {
    TokenSums of[2];
    for (int j = 0; j < 2; ++j) {
      of[j] = {_mm512_loadu_ps(tile.references + t + j * kLanes), _mm512_setzero_ps(),
               _mm512_loadu_ps(tile.peaks + t + j * kLanes)};
    }
    add_rows(logits, tile, t, of);
    for (int j = 0; j < 2; ++j) {
      _mm512_storeu_ps(tile.sums + t + j * kLanes, of[j].sums);
      _mm512_storeu_ps(tile.peaks + t + j * kLanes, of[j].peaks);
    }
  }
  if (tile.powers == nullptr) return;
  _mm_sfence();
  std::fill(tile.pairs + (tile.rows + 1) / 2 * kTokens, tile.pairs + kLogitRows / 2 * kTokens, 0U);
}

}  // namespace hetmoe
