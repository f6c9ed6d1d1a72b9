#include <algorithm>

#include "core/kernels/avx512_bf16.h"
#include "core/kernels/narrow.h"

namespace hetmoe {

HETMOE_AVX512_BF16 void avx512_narrow_rows(const float* source, std::int64_t source_stride,
                                           std::int64_t rows, std::int64_t columns,
                                           c10::BFloat16* target, std::int64_t target_stride,
                                           float factor) {
  const __m512 factors = _mm512_set1_ps(factor);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; j += 32) {
      const std::int64_t count = std::min<std::int64_t>(32, columns - j);
      const auto all = static_cast<__mmask32>((std::uint64_t{1} << count) - 1);
      const float* in = source + i * source_stride + j;
      const __m512 low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(all), in);
      const __m512 high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(all >> 16), in + 16);
      const auto halves =
          (__m512i)_mm512_cvtne2ps_pbh(_mm512_mul_ps(high, factors), _mm512_mul_ps(low, factors));
      _mm512_mask_storeu_epi16(target + i * target_stride + j, all, halves);
    }
  }
}

}  // namespace hetmoe
