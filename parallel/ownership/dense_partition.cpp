#include "parallel/ownership/dense_partition.h"

#include <algorithm>
#include <numeric>

#include "core/base/check.h"

namespace hetmoe {
namespace {

/// How much each rank takes so that all levels meet: max(0, level - own), summing to `total`.
std::vector<double> water_fill(std::span<const std::int64_t> own, std::int64_t total) {
  std::vector<std::int64_t> sorted(own.begin(), own.end());
  std::sort(sorted.begin(), sorted.end());
  double filled = static_cast<double>(total);
  double level = 0;
  for (std::size_t count = 1; count <= sorted.size(); ++count) {
    filled += static_cast<double>(sorted[count - 1]);
    level = filled / static_cast<double>(count);
    if (count < sorted.size() && level <= static_cast<double>(sorted[count])) break;
  }
  std::vector<double> share;
  for (std::int64_t value : own) {
    share.push_back(std::max(0.0, level - static_cast<double>(value)));
  }
  return share;
}

/// The row boundary nearest to an element offset.
std::int64_t nearest_row(std::span<const TensorSpec> specs, std::int64_t offset) {
  std::int64_t begin = 0;
  for (const TensorSpec& spec : specs) {
    const std::int64_t end = begin + spec.elements();
    if (offset < end) {
      const std::int64_t row = (offset - begin + spec.columns / 2) / spec.columns;
      return begin + std::min(row, spec.rows) * spec.columns;
    }
    begin = end;
  }
  return begin;
}

}  // namespace

std::vector<std::int64_t> partition_dense(std::span<const TensorSpec> specs,
                                          std::span<const std::int64_t> slice_elements) {
  HETMOE_CHECK(!slice_elements.empty(), "no ranks");
  std::int64_t total = 0;
  for (const TensorSpec& spec : specs) total += spec.elements();
  const std::vector<double> share = water_fill(slice_elements, total);
  std::vector<std::int64_t> cuts = {0};
  double offset = 0;
  for (std::size_t rank = 0; rank + 1 < share.size(); ++rank) {
    offset += share[rank];
    cuts.push_back(std::max(cuts.back(), nearest_row(specs, static_cast<std::int64_t>(offset))));
  }
  cuts.push_back(total);
  return cuts;
}

}  // namespace hetmoe
