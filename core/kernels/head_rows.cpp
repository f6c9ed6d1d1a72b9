#include "core/kernels/head_rows.h"

#include "core/kernels/processor.h"
#include "core/kernels/vector_math.h"

namespace hetmoe {

using c10::BFloat16;

HETMOE_VECTORIZED void plain_rotate_rows(const BFloat16* in, std::int64_t in_stride,
                                         const HeadAngles& angles, std::int64_t rows,
                                         std::int64_t width, BFloat16* out,
                                         std::int64_t out_stride) {
  const std::int64_t half = width / 2;
  for (std::int64_t row = 0; row < rows; ++row) {
    const BFloat16* __restrict x = in + row * in_stride;
    const float* __restrict c = angles.cosine + row * half;
    const float* __restrict s = angles.sine + row * half;
    BFloat16* __restrict y = out + row * out_stride;
    for (std::int64_t i = 0; i < half; ++i) {
      const float a = widen(x[i]);
      const float b = widen(x[i + half]);
      y[i] = narrow_to_bfloat16(a * c[i] - b * s[i]);
      y[i + half] = narrow_to_bfloat16(b * c[i] + a * s[i]);
    }
  }
}

HETMOE_VECTORIZED void plain_rotate_rows_back(const float* in, float factor,
                                              const HeadAngles& angles, std::int64_t rows,
                                              std::int64_t width, BFloat16* out,
                                              std::int64_t out_stride) {
  const std::int64_t half = width / 2;
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* __restrict x = in + row * width;
    const float* __restrict c = angles.cosine + row * half;
    const float* __restrict s = angles.sine + row * half;
    BFloat16* __restrict y = out + row * out_stride;
    for (std::int64_t i = 0; i < half; ++i) {
      const float a = factor * x[i];
      const float b = factor * x[i + half];
      y[i] = narrow_to_bfloat16(a * c[i] + b * s[i]);
      y[i + half] = narrow_to_bfloat16(b * c[i] - a * s[i]);
    }
  }
}

HETMOE_VECTORIZED void plain_row_products(const BFloat16* a, const BFloat16* b, std::int64_t stride,
                                          std::int64_t rows, std::int64_t width, float* out) {
  constexpr int kLanes = 16;
  for (std::int64_t row = 0; row < rows; ++row) {
    float lane[kLanes] = {};
    for (std::int64_t i = row * stride; i < row * stride + width; i += kLanes) {
      for (int j = 0; j < kLanes; ++j) lane[j] += widen(a[i + j]) * widen(b[i + j]);
    }
    float sum = 0;
    for (int j = 0; j < kLanes; ++j) sum += lane[j];
    out[row] = sum;
  }
}

void rotate_rows(const BFloat16* in, std::int64_t in_stride, const HeadAngles& angles,
                 std::int64_t rows, std::int64_t width, BFloat16* out, std::int64_t out_stride) {
  static const bool fast = has_avx512_bf16();
  (fast ? avx512_rotate_rows : plain_rotate_rows)(in, in_stride, angles, rows, width, out,
                                                  out_stride);
}

void rotate_rows_back(const float* in, float factor, const HeadAngles& angles, std::int64_t rows,
                      std::int64_t width, BFloat16* out, std::int64_t out_stride) {
  static const bool fast = has_avx512_bf16();
  (fast ? avx512_rotate_rows_back : plain_rotate_rows_back)(in, factor, angles, rows, width, out,
                                                            out_stride);
}

void row_products(const BFloat16* a, const BFloat16* b, std::int64_t stride, std::int64_t rows,
                  std::int64_t width, float* out) {
  static const bool fast = has_avx512_bf16();
  (fast ? avx512_row_products : plain_row_products)(a, b, stride, rows, width, out);
}

}  // namespace hetmoe
