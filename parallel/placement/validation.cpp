#include "parallel/placement/validation.h"

#include <cmath>
#include <string>
#include <tuple>

#include "core/base/check.h"
#include "core/base/error.h"

namespace hetmoe {
namespace {

constexpr double kShareTolerance = 1e-9;

[[noreturn]] void refuse(std::size_t layer, const std::string& what) {
  throw ConfigError(detail::concatenate("placement: layer ", layer, ": ", what));
}

std::string name_of(const PlacedSlice& slice) {
  return detail::concatenate("expert ", slice.expert, " rows [", slice.begin, ", ", slice.end,
                             ") on rank ", slice.rank);
}

void check_slice(std::size_t layer, const PlacedSlice& slice,
                 const std::vector<std::int64_t>& widths, int ranks) {
  const auto experts = static_cast<int>(widths.size());
  if (slice.expert < 0 || slice.expert >= experts)
    refuse(layer, detail::concatenate("expert ", slice.expert, " is not in [0, ", experts, ")"));
  if (slice.rank < 0 || slice.rank >= ranks)
    refuse(layer, detail::concatenate(name_of(slice), ": the rank is not in [0, ", ranks, ")"));
  const std::int64_t width = widths[static_cast<std::size_t>(slice.expert)];
  if (slice.begin < 0 || slice.end <= slice.begin || slice.end > width)
    refuse(layer,
           detail::concatenate(name_of(slice), ": not a range of rows within [0, ", width, ")"));
  if (!(slice.share > 0.0 && slice.share <= 1.0))
    refuse(layer,
           detail::concatenate(name_of(slice), ": share ", slice.share, " is not in (0, 1]"));
}

// Walks the sorted slices: groups of equal ranges, each group beginning where the last one ended.
class CoverageWalk {
 public:
  CoverageWalk(std::size_t layer, const std::vector<std::int64_t>& widths)
      : layer_(layer), widths_(widths) {}

  void visit(const PlacedSlice& slice) {
    if (slice.expert == expert_ && slice.begin == begin_ && slice.end == row_ && began_) {
      if (share_ == 1.0 || slice.share == 1.0)
        refuse(layer_, detail::concatenate(name_of(slice), ": a share of 1 beside a replica"));
      share_ += slice.share;
      return;
    }
    close_range();
    while (expert_ < slice.expert) next_expert();
    if (slice.begin < row_)
      refuse(layer_, detail::concatenate(name_of(slice), ": row ", slice.begin,
                                         " is placed twice by ranges that differ"));
    if (slice.begin > row_) missing_row();
    began_ = true;
    begin_ = slice.begin;
    row_ = slice.end;
    share_ = slice.share;
  }

  void finish() {
    close_range();
    while (expert_ < static_cast<int>(widths_.size())) next_expert();
  }

 private:
  void close_range() {
    if (began_ && std::abs(share_ - 1.0) > kShareTolerance)
      refuse(layer_, detail::concatenate("expert ", expert_, " rows [", begin_, ", ", row_,
                                         "): shares add up to ", share_, ", not 1"));
  }

  void next_expert() {
    if (row_ < widths_[static_cast<std::size_t>(expert_)]) missing_row();
    ++expert_;
    row_ = 0;
    began_ = false;
  }

  [[noreturn]] void missing_row() const {
    refuse(layer_,
           detail::concatenate("expert ", expert_, ": row ", row_, " of ",
                               widths_[static_cast<std::size_t>(expert_)], " is on no rank"));
  }

  std::size_t layer_;
  const std::vector<std::int64_t>& widths_;
  int expert_ = 0;
  std::int64_t begin_ = 0;
  std::int64_t row_ = 0;  // first row not yet placed
  double share_ = 0;
  bool began_ = false;
};

void check_layer(std::size_t layer, const LayerPlacement& placement,
                 const std::vector<std::int64_t>& widths, int ranks) {
  const auto key = [](const PlacedSlice& s) { return std::tuple(s.expert, s.begin, s.rank); };
  const PlacedSlice* previous = nullptr;
  for (const PlacedSlice& slice : placement.slices) {
    check_slice(layer, slice, widths, ranks);
    if (previous != nullptr && key(*previous) >= key(slice))
      refuse(layer, detail::concatenate(name_of(slice), " comes after ", name_of(*previous),
                                        ": slices are sorted by (expert, begin, rank), each once"));
    previous = &slice;
  }
  CoverageWalk walk(layer, widths);
  for (const PlacedSlice& slice : placement.slices) walk.visit(slice);
  walk.finish();
}

}  // namespace

void validate_placement(const Placement& placement,
                        std::span<const std::vector<std::int64_t>> widths, int ranks) {
  if (placement.layers.size() != widths.size())
    throw ConfigError(detail::concatenate("placement: ", placement.layers.size(),
                                          " layers, the model has ", widths.size()));
  for (std::size_t layer = 0; layer < widths.size(); ++layer)
    check_layer(layer, placement.layers[layer], widths[layer], ranks);
}

}  // namespace hetmoe
