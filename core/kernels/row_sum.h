#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

namespace hetmoe {

/// Which rows belong to one sum, for each of several: those of sum i are row[offset[i]] to
/// row[offset[i + 1] - 1].
struct RowLists {
  std::vector<std::int64_t> offset = {0};
  std::vector<std::int64_t> row;

  std::int64_t size() const { return static_cast<std::int64_t>(offset.size()) - 1; }
};

/// The lists of those rows i that say list_of_row[i], in order of i; [lists]. Pure.
RowLists lists_of_rows(std::span<const std::int64_t> list_of_row, std::int64_t lists);

/// For every list the sum of its rows of x [R, D]: [lists, D], the type of x. Rows are added in the
/// list's order in the wide type (fp32 for bf16), and rounded once. An empty list: zeros. The bits
/// of add_rows (row_copy.h) into zeros, list by list, without the wide sums in memory. On a CPU.
at::Tensor sum_rows(const at::Tensor& x, const RowLists& lists);

}  // namespace hetmoe
