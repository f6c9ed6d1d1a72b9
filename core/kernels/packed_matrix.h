#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>
#include <memory>

namespace hetmoe {

/// Memory that is kept between calls and only ever grows: 64-byte aligned, not initialised.
class ReusedBuffer {
 public:
  c10::BFloat16* at_least(std::int64_t elements);

 private:
  struct Free {
    void operator()(void* memory) const;
  };
  std::unique_ptr<c10::BFloat16, Free> memory_;
  std::int64_t capacity_ = 0;
};

/// The right-hand side B [K, N] of bf16 products, laid out as the tile and dot-product instructions
/// read it: panels of 64 columns, in a panel pairs of rows interleaved, [K / 2][64][2]. K and N are
/// padded with zeros (K to a multiple of 32), so that products may use the padded sizes.
class PackedMatrix {
 public:
  static constexpr std::int64_t kPanelColumns = 64;
  static constexpr std::int64_t kDepthMultiple = 32;

  /// Starts a matrix [depth, columns]; the parts are filled by the calls below. Keeps its memory.
  void reset(std::int64_t depth, std::int64_t columns);

  /// B[row + i][j] = source[i * stride + j]. row must be even. With an index row index[i] of the
  /// source is taken instead of i.
  void pack_rows(const c10::BFloat16* source, std::int64_t rows, std::int64_t columns,
                 std::int64_t stride, std::int64_t row = 0, const std::int64_t* index = nullptr);

  /// B[i][j] = source[j * stride + i]: the transpose. With an index its row index[j] instead of j.
  void pack_columns(const c10::BFloat16* source, std::int64_t columns, std::int64_t rows,
                    std::int64_t stride, const std::int64_t* index = nullptr);

  /// Padding inside the matrix: rows [begin, end), begin even.
  void zero_rows(std::int64_t begin, std::int64_t end);

  std::int64_t padded_depth() const { return depth_; }
  std::int64_t panels() const { return panels_; }
  const c10::BFloat16* panel(std::int64_t index) const {
    return data_ + index * depth_ * kPanelColumns;
  }

 private:
  c10::BFloat16* data_ = nullptr;
  ReusedBuffer memory_;
  std::int64_t depth_ = 0;
  std::int64_t panels_ = 0;
};

/// `value` rounded up to a multiple.
constexpr std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// Elements from one row of a product's left side to the next: an odd number of cache lines, or the
/// 16 rows that a tile instruction reads would share few of the cache's sets.
constexpr std::int64_t packed_row_stride(std::int64_t columns) {
  return round_up(columns, 64) + 32;
}

}  // namespace hetmoe
