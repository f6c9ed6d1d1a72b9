#pragma once

#include <c10/util/BFloat16.h>
#include <immintrin.h>

#include <cstdint>

/// What the loops written by hand for AVX-512 with bf16 share; for *_avx512.cpp alone.
#define HETMOE_AVX512_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))

namespace hetmoe {

HETMOE_AVX512_BF16 inline __m512 widened(const c10::BFloat16* values) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

/// Two rows of 16 values in bf16: the first one's, then the second one's.
HETMOE_AVX512_BF16 inline __m512i narrowed(__m512 first, __m512 second) {
  return (__m512i)_mm512_cvtne2ps_pbh(second, first);
}

HETMOE_AVX512_BF16 inline void store_rows(__m512i rows, c10::BFloat16* first,
                                          c10::BFloat16* second) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(first), _mm512_castsi512_si256(rows));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(second), _mm512_extracti64x4_epi64(rows, 1));
}

/// 16 words, the first row's values in their low halves.
HETMOE_AVX512_BF16 inline void store_pairs(__m512i rows, std::uint32_t* pairs) {
  const __m512i low_halves_first =
      _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                       21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  _mm512_storeu_si512(pairs, _mm512_permutexvar_epi16(low_halves_first, rows));
}

}  // namespace hetmoe
