#include "core/kernels/packed_matrix.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "core/base/check.h"
#include "core/kernels/vector_math.h"

namespace hetmoe {
namespace {

using Half8 = std::uint16_t __attribute__((vector_size(16)));
using Word4 = std::uint32_t __attribute__((vector_size(16)));

template <typename Vector>
HETMOE_INLINE Vector load(const void* source) {
  Vector value;
  std::memcpy(&value, source, sizeof(value));
  return value;
}

template <typename Vector>
HETMOE_INLINE void store(void* target, Vector value) {
  std::memcpy(target, &value, sizeof(value));
}

/// 8 x 8 transpose of 16-bit values: three rounds of interleaving.
HETMOE_INLINE void transpose_8x8(const std::uint16_t* source, std::int64_t source_stride,
                                 std::uint16_t* target, std::int64_t target_stride) {
  Half8 a[8], b[8];
  for (int i = 0; i < 8; ++i) a[i] = load<Half8>(source + i * source_stride);
  for (int i = 0; i < 4; ++i) {
    b[2 * i] = __builtin_shufflevector(a[i], a[i + 4], 0, 8, 1, 9, 2, 10, 3, 11);
    b[2 * i + 1] = __builtin_shufflevector(a[i], a[i + 4], 4, 12, 5, 13, 6, 14, 7, 15);
  }
  for (int i = 0; i < 4; ++i) {
    a[2 * i] = __builtin_shufflevector(b[i], b[i + 4], 0, 8, 1, 9, 2, 10, 3, 11);
    a[2 * i + 1] = __builtin_shufflevector(b[i], b[i + 4], 4, 12, 5, 13, 6, 14, 7, 15);
  }
  for (int i = 0; i < 4; ++i) {
    b[2 * i] = __builtin_shufflevector(a[i], a[i + 4], 0, 8, 1, 9, 2, 10, 3, 11);
    b[2 * i + 1] = __builtin_shufflevector(a[i], a[i + 4], 4, 12, 5, 13, 6, 14, 7, 15);
  }
  for (int i = 0; i < 8; ++i) store(target + i * target_stride, b[i]);
}

/// 4 x 4 transpose of 32-bit values (pairs of bf16).
HETMOE_INLINE void transpose_pairs_4x4(const std::uint16_t* source, std::int64_t source_stride,
                                       std::uint16_t* target, std::int64_t target_stride) {
  Word4 a[4], b[4];
  for (int i = 0; i < 4; ++i) a[i] = load<Word4>(source + i * source_stride);
  for (int i = 0; i < 2; ++i) {
    b[2 * i] = __builtin_shufflevector(a[i], a[i + 2], 0, 4, 1, 5);
    b[2 * i + 1] = __builtin_shufflevector(a[i], a[i + 2], 2, 6, 3, 7);
  }
  for (int i = 0; i < 2; ++i) {
    a[2 * i] = __builtin_shufflevector(b[i], b[i + 2], 0, 4, 1, 5);
    a[2 * i + 1] = __builtin_shufflevector(b[i], b[i + 2], 2, 6, 3, 7);
  }
  for (int i = 0; i < 4; ++i) store(target + i * target_stride, a[i]);
}

HETMOE_VECTORIZED void interleave_rows(const std::uint16_t* first, const std::uint16_t* second,
                                       std::uint32_t* target, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    target[i] = static_cast<std::uint32_t>(first[i]) | static_cast<std::uint32_t>(second[i]) << 16;
  }
}

void interleave_last_row(const std::uint16_t* first, std::uint32_t* target, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) target[i] = first[i];
}

/// One panel's part of a transposed source: columns [0, count) of the panel from `count` rows.
void pack_transposed_panel(const std::uint16_t* source, std::int64_t count, std::int64_t rows,
                           std::int64_t stride, std::uint16_t* panel) {
  constexpr std::int64_t kPairStride = 2 * PackedMatrix::kPanelColumns;
  const std::int64_t whole_columns = count / 4 * 4;
  const std::int64_t whole_rows = rows / 8 * 8;
  for (std::int64_t i = 0; i < whole_rows; i += 8) {
    for (std::int64_t j = 0; j < whole_columns; j += 4) {
      transpose_pairs_4x4(source + j * stride + i, stride, panel + i / 2 * kPairStride + 2 * j,
                          kPairStride);
    }
  }
  const auto copy_one = [&](std::int64_t i, std::int64_t j) {
    panel[i / 2 * kPairStride + 2 * j + i % 2] = source[j * stride + i];
  };
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = i < whole_rows ? whole_columns : 0; j < count; ++j) copy_one(i, j);
  }
}

}  // namespace

void ReusedBuffer::Free::operator()(void* memory) const { std::free(memory); }

c10::BFloat16* ReusedBuffer::at_least(std::int64_t elements) {
  if (elements > capacity_) {
    memory_.reset();
    capacity_ = 0;
    const std::int64_t bytes = round_up(elements * 2, 64);
    memory_.reset(static_cast<c10::BFloat16*>(std::aligned_alloc(64, bytes)));
    if (!memory_) throw std::bad_alloc();
    capacity_ = bytes / 2;
  }
  return memory_.get();
}

void PackedMatrix::reset(std::int64_t depth, std::int64_t columns) {
  depth_ = round_up(depth, kDepthMultiple);
  panels_ = round_up(columns, kPanelColumns) / kPanelColumns;
  data_ = memory_.at_least(depth_ * panels_ * kPanelColumns);
  if (columns % kPanelColumns != 0) {
    std::memset(data_ + (panels_ - 1) * depth_ * kPanelColumns, 0, depth_ * kPanelColumns * 2);
  }
  // Rows of padding; one more for an odd depth, whose last pair is half filled.
  const std::int64_t first = depth / 2 * 2;
  for (std::int64_t panel = 0; panel < panels_; ++panel) {
    c10::BFloat16* begin = data_ + panel * depth_ * kPanelColumns + first * kPanelColumns;
    std::memset(begin, 0, (depth_ - first) * kPanelColumns * 2);
  }
}

void PackedMatrix::pack_rows(const c10::BFloat16* source, std::int64_t rows, std::int64_t columns,
                             std::int64_t stride, std::int64_t row, std::int64_t column) {
  HETMOE_CHECK(row % 2 == 0 && column % kPanelColumns == 0 && row + rows <= depth_, "row ", row,
               ", column ", column);
  const auto* in = reinterpret_cast<const std::uint16_t*>(source);
  const std::int64_t first_panel = column / kPanelColumns;
  const std::int64_t count = round_up(columns, kPanelColumns) / kPanelColumns;
  at::parallel_for(0, count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p) {
      auto* panel = reinterpret_cast<std::uint32_t*>(
          data_ + (first_panel + p) * depth_ * kPanelColumns + row * kPanelColumns);
      const std::int64_t offset = p * kPanelColumns;
      const std::int64_t width = std::min(kPanelColumns, columns - offset);
      std::int64_t i = 0;
      for (; i + 2 <= rows; i += 2) {
        interleave_rows(in + i * stride + offset, in + (i + 1) * stride + offset,
                        panel + i / 2 * kPanelColumns, width);
      }
      if (i < rows) {
        interleave_last_row(in + i * stride + offset, panel + i / 2 * kPanelColumns, width);
      }
    }
  });
}

void PackedMatrix::pack_columns(const c10::BFloat16* source, std::int64_t columns,
                                std::int64_t rows, std::int64_t stride, std::int64_t column) {
  HETMOE_CHECK(column % kPanelColumns == 0 && rows <= depth_, "column ", column, ", rows ", rows);
  const auto* in = reinterpret_cast<const std::uint16_t*>(source);
  const std::int64_t first_panel = column / kPanelColumns;
  const std::int64_t count = round_up(columns, kPanelColumns) / kPanelColumns;
  at::parallel_for(0, count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p) {
      const std::int64_t offset = p * kPanelColumns;
      pack_transposed_panel(
          in + offset * stride, std::min(kPanelColumns, columns - offset), rows, stride,
          reinterpret_cast<std::uint16_t*>(data_ + (first_panel + p) * depth_ * kPanelColumns));
    }
  });
}

void PackedMatrix::zero_rows(std::int64_t begin, std::int64_t end) {
  HETMOE_CHECK(begin % 2 == 0 && end <= depth_, "rows ", begin, " to ", end);
  if (begin >= end) return;
  for (std::int64_t p = 0; p < panels_; ++p) {
    std::memset(data_ + p * depth_ * kPanelColumns + begin * kPanelColumns, 0,
                (end - begin) * kPanelColumns * sizeof(c10::BFloat16));
  }
}

void PackedMatrix::zero_columns(std::int64_t begin, std::int64_t end) {
  auto* words = reinterpret_cast<std::uint32_t*>(data_);
  for (std::int64_t column = begin; column < end; ++column) {
    const std::int64_t panel = column / kPanelColumns;
    for (std::int64_t pair = 0; pair < depth_ / 2; ++pair) {
      words[(panel * depth_ / 2 + pair) * kPanelColumns + column % kPanelColumns] = 0;
    }
  }
}

void transpose_bfloat16(const c10::BFloat16* source, std::int64_t rows, std::int64_t columns,
                        std::int64_t source_stride, c10::BFloat16* target,
                        std::int64_t target_stride) {
  const auto* in = reinterpret_cast<const std::uint16_t*>(source);
  auto* out = reinterpret_cast<std::uint16_t*>(target);
  const std::int64_t whole_rows = rows / 8 * 8;
  const std::int64_t whole_columns = columns / 8 * 8;
  for (std::int64_t j = 0; j < whole_columns; j += 8) {
    for (std::int64_t i = 0; i < whole_rows; i += 8) {
      transpose_8x8(in + i * source_stride + j, source_stride, out + j * target_stride + i,
                    target_stride);
    }
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = i < whole_rows ? whole_columns : 0; j < columns; ++j) {
      out[j * target_stride + i] = in[i * source_stride + j];
    }
  }
}

}  // namespace hetmoe
