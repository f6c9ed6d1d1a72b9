#pragma once

#include <cstdint>
#include <vector>

#include "core/model/parameter_specs.h"
#include "core/model/slice.h"

namespace hetmoe {

/// Slices whose values follow one another in a flat buffer: of each slice its rows of the first
/// matrix, then those of the next.
class SliceLayout {
 public:
  SliceLayout() = default;
  /// `slices` by (expert, begin), of one layer. columns: elements of a row.
  SliceLayout(std::vector<Slice> slices, std::int64_t columns, int matrices = kExpertMatrices);

  const std::vector<Slice>& slices() const { return slices_; }
  std::int64_t columns() const { return columns_; }
  int matrices() const { return matrices_; }
  std::int64_t elements() const { return begins_.back(); }

  /// The element at which rows [begin, end) of an expert's matrix begin. The rows must lie within
  /// one slice: there they are contiguous.
  std::int64_t offset(int expert, std::int64_t begin, std::int64_t end, int matrix) const;

 private:
  std::vector<Slice> slices_;
  std::int64_t columns_ = 1;
  int matrices_ = kExpertMatrices;
  std::vector<std::int64_t> begins_ = {0};  ///< [slices + 1] elements
};

}  // namespace hetmoe
