#include "core/kernels/transpose.h"

#include <algorithm>
#include <cstring>

#include "core/kernels/vector_math.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kBlock = 16;
using Words = std::uint32_t __attribute__((vector_size(4 * kBlock)));
using Halves = std::uint16_t __attribute__((vector_size(2 * kBlock)));

/// The first `count` elements, the rest as they are.
template <typename Vector>
HETMOE_INLINE void load(Vector& value, const void* source, std::int64_t count) {
  if (count == kBlock) {
    std::memcpy(&value, source, sizeof(value));
  } else {
    std::memcpy(&value, source, count * sizeof(value[0]));
  }
}

/// Four times over, rows interleaved with those eight below them: the transpose.
HETMOE_INLINE void transpose_block(Words* a) {
  Words b[kBlock];
  for (int round = 0; round < 4; ++round) {
    Words* from = round % 2 == 0 ? a : b;
    Words* to = round % 2 == 0 ? b : a;
    for (int i = 0; i < 8; ++i) {
      to[2 * i] = __builtin_shufflevector(from[i], from[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20,
                                          5, 21, 6, 22, 7, 23);
      to[2 * i + 1] = __builtin_shufflevector(from[i], from[i + 8], 8, 24, 9, 25, 10, 26, 11, 27,
                                              12, 28, 13, 29, 14, 30, 15, 31);
    }
  }
}

/// `load_row(a, i, j, count)` puts words [j, j + count) of row i into a. `width`: bytes of a target
/// row that exist of its `rows` words.
template <typename LoadRow>
HETMOE_INLINE void transpose_blocks(LoadRow load_row, std::int64_t rows, std::int64_t columns,
                                    unsigned char* target, std::int64_t target_bytes,
                                    std::int64_t width) {
  for (std::int64_t i = 0; i < rows; i += kBlock) {
    const std::int64_t count = std::min(kBlock, rows - i);
    const std::int64_t bytes = std::min<std::int64_t>(sizeof(Words), width - 4 * i);
    for (std::int64_t j = 0; j < columns; j += kBlock) {
      const std::int64_t here = std::min(kBlock, columns - j);
      Words a[kBlock] = {};
      for (std::int64_t k = 0; k < count; ++k) load_row(a[k], i + k, j, here);
      transpose_block(a);
      unsigned char* out = target + j * target_bytes + 4 * i;
      for (std::int64_t k = 0; k < here; ++k) {
        if (bytes == sizeof(Words)) {
          std::memcpy(out + k * target_bytes, &a[k], sizeof(Words));
        } else {
          std::memcpy(out + k * target_bytes, &a[k], bytes);
        }
      }
    }
  }
}

HETMOE_VECTORIZED void words(const unsigned char* source, std::int64_t rows, std::int64_t columns,
                             std::int64_t source_bytes, unsigned char* target,
                             std::int64_t target_bytes) {
  transpose_blocks([=](Words& a, std::int64_t i, std::int64_t j,
                       std::int64_t count) { load(a, source + i * source_bytes + 4 * j, count); },
                   rows, columns, target, target_bytes, 4 * rows);
}

HETMOE_VECTORIZED void listed_rows(const unsigned char* source, const std::int64_t* index,
                                   std::int64_t rows, std::int64_t columns,
                                   std::int64_t source_bytes, unsigned char* target,
                                   std::int64_t target_bytes) {
  transpose_blocks(
      [=](Words& a, std::int64_t i, std::int64_t j, std::int64_t count) {
        load(a, source + index[i] * source_bytes + 4 * j, count);
      },
      rows, columns, target, target_bytes, 4 * rows);
}

/// Two rows of 16-bit values are one of words.
HETMOE_VECTORIZED void halves(const unsigned char* source, std::int64_t rows, std::int64_t columns,
                              std::int64_t source_bytes, unsigned char* target,
                              std::int64_t target_bytes) {
  transpose_blocks(
      [=](Words& a, std::int64_t i, std::int64_t j, std::int64_t count) {
        const unsigned char* first = source + 2 * i * source_bytes + 2 * j;
        Halves low = {}, high = {};
        load(low, first, count);
        if (2 * i + 1 < rows) load(high, first + source_bytes, count);
        a = __builtin_convertvector(low, Words) | __builtin_convertvector(high, Words) << 16;
      },
      (rows + 1) / 2, columns, target, target_bytes, 2 * rows);
}

const unsigned char* bytes(const void* memory) { return static_cast<const unsigned char*>(memory); }
unsigned char* bytes(void* memory) { return static_cast<unsigned char*>(memory); }

}  // namespace

void transpose_words(const std::uint32_t* source, std::int64_t rows, std::int64_t columns,
                     std::int64_t source_stride, std::uint32_t* target,
                     std::int64_t target_stride) {
  words(bytes(source), rows, columns, 4 * source_stride, bytes(target), 4 * target_stride);
}

void transpose_pairs(const c10::BFloat16* source, const std::int64_t* row_index, std::int64_t rows,
                     std::int64_t columns, std::int64_t source_stride, std::uint32_t* target,
                     std::int64_t target_stride) {
  if (row_index == nullptr) {
    words(bytes(source), rows, columns, 2 * source_stride, bytes(target), 4 * target_stride);
  } else {
    listed_rows(bytes(source), row_index, rows, columns, 2 * source_stride, bytes(target),
                4 * target_stride);
  }
}

void transpose_bfloat16(const c10::BFloat16* source, std::int64_t rows, std::int64_t columns,
                        std::int64_t source_stride, c10::BFloat16* target,
                        std::int64_t target_stride) {
  halves(bytes(source), rows, columns, 2 * source_stride, bytes(target), 2 * target_stride);
}

}  // namespace hetmoe
