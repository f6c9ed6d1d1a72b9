#include "core/kernels/packed_matrix.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "core/base/check.h"
#include "core/kernels/transpose.h"
#include "core/kernels/vector_math.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kPanel = PackedMatrix::kPanelColumns;

/// Row pairs [begin, end) of `rows` rows, each row whole, so that memory is read in one direction.
/// `row_of(i)` gives a row; `panel_words` lie between the panels of the target.
template <typename RowOf>
HETMOE_INLINE void interleave(RowOf row_of, std::int64_t begin, std::int64_t end, std::int64_t rows,
                              std::int64_t columns, std::uint32_t* target,
                              std::int64_t panel_words) {
  for (std::int64_t pair = begin; pair < end; ++pair) {
    const bool is_half = 2 * pair + 1 == rows;
    const std::uint16_t* first = row_of(2 * pair);
    const std::uint16_t* second = is_half ? first : row_of(2 * pair + 1);
    const std::uint32_t mask = is_half ? 0xffffU : 0xffffffffU;
    for (std::int64_t j = 0; j < columns; j += kPanel) {
      std::uint32_t* out = target + j / kPanel * panel_words + pair * kPanel;
      const std::int64_t count = std::min(kPanel, columns - j);
      for (std::int64_t i = 0; i < count; ++i) {
        const std::uint32_t high = second[j + i];
        out[i] = (first[j + i] | high << 16) & mask;
      }
    }
  }
}

HETMOE_VECTORIZED void interleave_rows(const std::uint16_t* source, std::int64_t stride,
                                       std::int64_t begin, std::int64_t end, std::int64_t rows,
                                       std::int64_t columns, std::uint32_t* target,
                                       std::int64_t panel_words) {
  interleave([=](std::int64_t i) { return source + i * stride; }, begin, end, rows, columns, target,
             panel_words);
}

HETMOE_VECTORIZED void interleave_listed_rows(const std::uint16_t* source,
                                              const std::int64_t* index, std::int64_t stride,
                                              std::int64_t begin, std::int64_t end,
                                              std::int64_t rows, std::int64_t columns,
                                              std::uint32_t* target, std::int64_t panel_words) {
  interleave([=](std::int64_t i) { return source + index[i] * stride; }, begin, end, rows, columns,
             target, panel_words);
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
                             std::int64_t stride, std::int64_t row, const std::int64_t* index) {
  HETMOE_CHECK(row % 2 == 0 && row + rows <= depth_ && columns <= panels_ * kPanel, "row ", row,
               ", ", rows, " rows of ", columns);
  const auto* in = reinterpret_cast<const std::uint16_t*>(source);
  auto* out = reinterpret_cast<std::uint32_t*>(data_) + row / 2 * kPanel;
  const std::int64_t panel_words = depth_ / 2 * kPanel;
  at::parallel_for(0, (rows + 1) / 2, 16, [&](std::int64_t begin, std::int64_t end) {
    if (index == nullptr) {
      interleave_rows(in, stride, begin, end, rows, columns, out, panel_words);
    } else {
      interleave_listed_rows(in, index, stride, begin, end, rows, columns, out, panel_words);
    }
  });
}

void PackedMatrix::pack_columns(const c10::BFloat16* source, std::int64_t columns,
                                std::int64_t rows, std::int64_t stride, const std::int64_t* index) {
  HETMOE_CHECK(rows <= depth_ && columns <= panels_ * kPanel, rows, " rows, ", columns, " columns");
  at::parallel_for(
      0, (columns + kPanel - 1) / kPanel, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t p = begin; p < end; ++p) {
          const std::int64_t first = p * kPanel;
          const std::int64_t count = std::min(kPanel, columns - first);
          c10::BFloat16* panel = data_ + p * depth_ * kPanel;
          const auto* in = index == nullptr ? source + first * stride : source;
          const auto* rows_of_panel = index == nullptr ? nullptr : index + first;
          transpose_pairs(in, rows_of_panel, count, rows / 2, stride,
                          reinterpret_cast<std::uint32_t*>(panel), kPanel);
          if (rows % 2 == 0) continue;
          c10::BFloat16* last = panel + (rows - 1) * kPanel;  // pairs whose second half is padding
          for (std::int64_t j = 0; j < count; ++j) {
            last[2 * j] = in[(rows_of_panel == nullptr ? j : rows_of_panel[j]) * stride + rows - 1];
          }
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

}  // namespace hetmoe
