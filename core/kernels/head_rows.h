#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace hetmoe {

/// Rows of one head of attention, where they lie: bf16, row i at i * stride, `width` values each, a
/// multiple of 32. Angles are rows of width / 2 cosines and sines, one behind the other.
struct HeadAngles {
  const float* cosine;
  const float* sine;
};

/// out = rotation of in: halves a, b become a cos - b sin, b cos + a sin.
void rotate_rows(const c10::BFloat16* in, std::int64_t in_stride, const HeadAngles& angles,
                 std::int64_t rows, std::int64_t width, c10::BFloat16* out,
                 std::int64_t out_stride);

/// out = rotation back of factor * in, for in [rows, width] without gaps. Rounded once.
void rotate_rows_back(const float* in, float factor, const HeadAngles& angles, std::int64_t rows,
                      std::int64_t width, c10::BFloat16* out, std::int64_t out_stride);

/// out[i] = inner product of rows i of a and b, in fp32.
void row_products(const c10::BFloat16* a, const c10::BFloat16* b, std::int64_t stride,
                  std::int64_t rows, std::int64_t width, float* out);

/// The two that those above choose from: loops in plain words for any processor, and hand-written
/// ones for AVX-512 with bf16, which may be called where has_avx512_bf16().
void plain_rotate_rows(const c10::BFloat16* in, std::int64_t in_stride, const HeadAngles& angles,
                       std::int64_t rows, std::int64_t width, c10::BFloat16* out,
                       std::int64_t out_stride);
void plain_rotate_rows_back(const float* in, float factor, const HeadAngles& angles,
                            std::int64_t rows, std::int64_t width, c10::BFloat16* out,
                            std::int64_t out_stride);
void plain_row_products(const c10::BFloat16* a, const c10::BFloat16* b, std::int64_t stride,
                        std::int64_t rows, std::int64_t width, float* out);
void avx512_rotate_rows(const c10::BFloat16* in, std::int64_t in_stride, const HeadAngles& angles,
                        std::int64_t rows, std::int64_t width, c10::BFloat16* out,
                        std::int64_t out_stride);
void avx512_rotate_rows_back(const float* in, float factor, const HeadAngles& angles,
                             std::int64_t rows, std::int64_t width, c10::BFloat16* out,
                             std::int64_t out_stride);
void avx512_row_products(const c10::BFloat16* a, const c10::BFloat16* b, std::int64_t stride,
                         std::int64_t rows, std::int64_t width, float* out);

}  // namespace hetmoe
