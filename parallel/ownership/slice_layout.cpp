#include "parallel/ownership/slice_layout.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "core/base/check.h"

namespace hetmoe {

SliceLayout::SliceLayout(std::vector<Slice> slices, std::int64_t columns, int matrices)
    : slices_(std::move(slices)), columns_(columns), matrices_(matrices) {
  for (const Slice& slice : slices_) {
    begins_.push_back(begins_.back() + matrices * slice.width() * columns);
  }
}

std::int64_t SliceLayout::offset(int expert, std::int64_t begin, std::int64_t end,
                                 int matrix) const {
  const auto after = std::upper_bound(slices_.begin(), slices_.end(), std::tuple(expert, begin),
                                      [](const auto& row, const Slice& slice) {
                                        return row < std::tuple(slice.expert, slice.begin);
                                      });
  const auto index = after - slices_.begin() - 1;
  HETMOE_CHECK(index >= 0 && slices_[index].expert == expert && end <= slices_[index].end, "rows ",
               begin, " to ", end, " of expert ", expert, " are not held here");
  const Slice& slice = slices_[index];
  return begins_[index] + (matrix * slice.width() + begin - slice.begin) * columns_;
}

}  // namespace hetmoe
