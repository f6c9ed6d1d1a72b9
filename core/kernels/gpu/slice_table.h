#pragma once

#include <cstdint>

namespace hetmoe::gpu {

/// One slice of a layer among the selections that it computes, which lie slice after slice. What is
/// as wide as the slice has its rows one after another from `hidden_begin` on, so that slices of
/// different widths share one buffer without padding.
struct SliceSpan {
  std::int64_t selection_begin = 0;  ///< the first of its selections
  std::int64_t selections = 0;
  std::int64_t width = 0;         ///< hidden units
  std::int64_t hidden_begin = 0;  ///< elements: sum of selections * width of the slices before
};

}  // namespace hetmoe::gpu
