#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/gpu/launch.h"

namespace hetmoe::gpu {

/// Groups of rows that lie one after another, cut into lines: as many rows of one group as a block
/// adds. What a kernel reads of them is on the device.
struct RowGroups {
  const std::int32_t* line_row = nullptr;    ///< [lines + 1]: line l has rows from [l] to [l + 1]
  const std::int32_t* group_line = nullptr;  ///< [groups + 1]: group g has lines [g] to [g + 1]
  std::int64_t lines = 0;
  std::int64_t groups = 0;
};

/// The tables of RowGroups. begin [groups + 1], from 0: the first row of each group; a group may be
/// empty and has no line then.
struct LineTables {
  std::vector<std::int32_t> line_row, group_line;

  explicit LineTables(std::span<const std::int64_t> begin);
  std::int64_t lines() const { return static_cast<std::int64_t>(line_row.size()) - 1; }
};

/// sums[g] = sum of the rows of group g, in fp32, in an order that depends on `begin` alone; with
/// `adds` on top of what sums[g] holds. Shape: x [rows, columns], sums [groups, columns], scratch
/// [lines, columns]; pointers are the device's. T: float or BFloat16Bits.
template <typename T>
void group_sums(const T* x, const RowGroups& rows, std::int64_t columns, bool adds, float* sums,
                float* scratch, Stream stream);

}  // namespace hetmoe::gpu
