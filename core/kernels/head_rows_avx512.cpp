#include "core/kernels/avx512_bf16.h"
#include "core/kernels/head_rows.h"

// The same as the plain functions on a processor that narrows to bf16 by itself: what a bf16 could
// only hold as a denormal becomes 0.

namespace hetmoe {
namespace {

using c10::BFloat16;
constexpr std::int64_t kLanes = 16;

HETMOE_AVX512_BF16 inline void store(__m512 values, BFloat16* out) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), (__m256i)_mm512_cvtneps_pbh(values));
}

}  // namespace

HETMOE_AVX512_BF16 void avx512_rotate_rows(const BFloat16* in, std::int64_t in_stride,
                                           const HeadAngles& angles, std::int64_t rows,
                                           std::int64_t width, BFloat16* out,
                                           std::int64_t out_stride) {
  const std::int64_t half = width / 2;
  for (std::int64_t row = 0; row < rows; ++row) {
    const BFloat16* x = in + row * in_stride;
    BFloat16* y = out + row * out_stride;
    for (std::int64_t i = 0; i < half; i += kLanes) {
      const __m512 a = widened(x + i);
      const __m512 b = widened(x + i + half);
      const __m512 c = _mm512_loadu_ps(angles.cosine + row * half + i);
      const __m512 s = _mm512_loadu_ps(angles.sine + row * half + i);
      store(_mm512_fmsub_ps(a, c, _mm512_mul_ps(b, s)), y + i);
      store(_mm512_fmadd_ps(b, c, _mm512_mul_ps(a, s)), y + i + half);
    }
  }
}

HETMOE_AVX512_BF16 void avx512_rotate_rows_back(const float* in, float factor,
                                                const HeadAngles& angles, std::int64_t rows,
                                                std::int64_t width, BFloat16* out,
                                                std::int64_t out_stride) {
  const std::int64_t half = width / 2;
  const __m512 factors = _mm512_set1_ps(factor);
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* x = in + row * width;
    BFloat16* y = out + row * out_stride;
    for (std::int64_t i = 0; i < half; i += kLanes) {
      const __m512 a = _mm512_mul_ps(factors, _mm512_loadu_ps(x + i));
      const __m512 b = _mm512_mul_ps(factors, _mm512_loadu_ps(x + i + half));
      const __m512 c = _mm512_loadu_ps(angles.cosine + row * half + i);
      const __m512 s = _mm512_loadu_ps(angles.sine + row * half + i);
      store(_mm512_fmadd_ps(a, c, _mm512_mul_ps(b, s)), y + i);
      store(_mm512_fmsub_ps(b, c, _mm512_mul_ps(a, s)), y + i + half);
    }
  }
}

HETMOE_AVX512_BF16 void avx512_row_products(const BFloat16* a, const BFloat16* b,
                                            std::int64_t stride, std::int64_t rows,
                                            std::int64_t width, float* out) {
  for (std::int64_t row = 0; row < rows; ++row) {
    __m512 sum = _mm512_setzero_ps();
    for (std::int64_t i = row * stride; i < row * stride + width; i += kLanes) {
      sum = _mm512_fmadd_ps(widened(a + i), widened(b + i), sum);
    }
    out[row] = _mm512_reduce_add_ps(sum);
  }
}

}  // namespace hetmoe
