#include "core/kernels/transpose.h"

#include <gtest/gtest.h>

#include <vector>

namespace hetmoe {
namespace {

constexpr std::int64_t kGap = 5;  // of every target row, which must stay as it is
const std::pair<std::int64_t, std::int64_t> kSizes[] = {{1, 1},  {8, 8},   {9, 17},  {64, 33},
                                                        {7, 64}, {16, 32}, {31, 16}, {65, 130}};

/// Moves the numbers of a [rows, columns] source with `move` and looks where they have gone.
template <typename Value, typename Move>
void expect_transposed(std::int64_t rows, std::int64_t columns, Move move) {
  constexpr Value kUntouched = 7777;
  const std::int64_t source_stride = columns + 3;
  const std::int64_t target_stride = rows + kGap;
  std::vector<Value> source(rows * source_stride);
  std::vector<Value> target(columns * target_stride, kUntouched);
  for (std::size_t i = 0; i < source.size(); ++i) source[i] = static_cast<Value>(i);
  move(source.data(), source_stride, target.data(), target_stride);
  for (std::int64_t j = 0; j < columns; ++j) {
    for (std::int64_t i = 0; i < target_stride; ++i) {
      const Value expected = i < rows ? source[i * source_stride + j] : kUntouched;
      ASSERT_EQ(target[j * target_stride + i], expected)
          << rows << " x " << columns << ": " << i << "," << j;
    }
  }
}

TEST(Transpose, EveryHalfMovesAndNothingElseIsWritten) {
  for (const auto& [rows, columns] : kSizes) {
    expect_transposed<std::uint16_t>(
        rows, columns, [&](auto* from, auto stride, auto* to, auto gap) {
          transpose_bfloat16(reinterpret_cast<c10::BFloat16*>(from), rows, columns, stride,
                             reinterpret_cast<c10::BFloat16*>(to), gap);
        });
  }
}

TEST(Transpose, EveryWordMovesAndNothingElseIsWritten) {
  for (const auto& [rows, columns] : kSizes) {
    expect_transposed<std::uint32_t>(rows, columns,
                                     [&](auto* from, auto stride, auto* to, auto gap) {
                                       transpose_words(from, rows, columns, stride, to, gap);
                                     });
  }
}

TEST(Transpose, PairsOfListedRowsMove) {
  constexpr std::int64_t kStride = 41;  // odd: rows do not begin at whole words
  std::vector<c10::BFloat16> source(30 * kStride);
  for (std::size_t i = 0; i < source.size(); ++i) source[i].x = static_cast<std::uint16_t>(i);
  const std::vector<std::int64_t> index = {29, 3, 3, 0, 17};
  std::vector<std::uint32_t> target(20 * 5);
  transpose_pairs(source.data(), index.data(), 5, 20, kStride, target.data(), 5);
  for (std::uint32_t j = 0; j < 20; ++j) {
    for (std::size_t i = 0; i < index.size(); ++i) {
      const auto low = static_cast<std::uint32_t>(index[i] * kStride) + 2 * j;
      ASSERT_EQ(target[j * 5 + i], low | (low + 1) << 16) << i << "," << j;
    }
  }
}

}  // namespace
}  // namespace hetmoe
