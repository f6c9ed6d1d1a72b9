#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace hetmoe {

/// target[i * target_stride + j] = bf16 of factor * source[i * source_stride + j], rounded to
/// nearest even; NaN stays NaN. Where the processor narrows by itself, what a bf16 could only hold
/// as a denormal becomes 0.
void narrow_rows(const float* source, std::int64_t source_stride, std::int64_t rows,
                 std::int64_t columns, c10::BFloat16* target, std::int64_t target_stride,
                 float factor = 1.0F);

/// The two that it chooses from; the second where has_avx512_bf16().
void plain_narrow_rows(const float* source, std::int64_t source_stride, std::int64_t rows,
                       std::int64_t columns, c10::BFloat16* target, std::int64_t target_stride,
                       float factor);
void avx512_narrow_rows(const float* source, std::int64_t source_stride, std::int64_t rows,
                        std::int64_t columns, c10::BFloat16* target, std::int64_t target_stride,
                        float factor);

}  // namespace hetmoe
