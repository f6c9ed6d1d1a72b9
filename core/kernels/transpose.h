#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace hetmoe {

/// Transposes in blocks of 16 x 16 words held in registers. Any sizes; strides in elements; source
/// and target must not overlap.

/// target[j * target_stride + i] = source[i * source_stride + j].
void transpose_words(const std::uint32_t* source, std::int64_t rows, std::int64_t columns,
                     std::int64_t source_stride, std::uint32_t* target, std::int64_t target_stride);

/// The same for words that are pairs of neighbours of a row: row i is source + row_index[i] *
/// source_stride, or without an index source + i * source_stride. `columns` pairs of each are read.
void transpose_pairs(const c10::BFloat16* source, const std::int64_t* row_index, std::int64_t rows,
                     std::int64_t columns, std::int64_t source_stride, std::uint32_t* target,
                     std::int64_t target_stride);

/// target[j * target_stride + i] = source[i * source_stride + j].
void transpose_bfloat16(const c10::BFloat16* source, std::int64_t rows, std::int64_t columns,
                        std::int64_t source_stride, c10::BFloat16* target,
                        std::int64_t target_stride);

}  // namespace hetmoe
