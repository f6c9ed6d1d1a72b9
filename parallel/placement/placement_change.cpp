#include "parallel/placement/placement_change.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <numeric>
#include <tuple>

#include "parallel/placement/cost.h"
#include "parallel/placement/replicas.h"

namespace hetmoe {
namespace {

constexpr double kTrafficWorthMoving = 1.05;

std::int64_t overlap(const PlacedSlice& a, const PlacedSlice& b) {
  if (a.expert != b.expert) return 0;
  return std::max<std::int64_t>(0, std::min(a.end, b.end) - std::max(a.begin, b.begin));
}

/// [ranks of `from`][ranks of `to`]: rows that both hold.
std::vector<std::vector<std::int64_t>> common_rows(const LayerPlacement& from,
                                                   const LayerPlacement& to, int ranks) {
  std::vector<std::vector<std::int64_t>> common(
      static_cast<std::size_t>(ranks), std::vector<std::int64_t>(static_cast<std::size_t>(ranks)));
  for (const PlacedSlice& a : from.slices) {
    for (const PlacedSlice& b : to.slices) common[a.rank][b.rank] += overlap(a, b);
  }
  return common;
}

double traffic(const LayerPlacement& placement, const std::vector<std::int64_t>& loads) {
  double sum = 0;
  for (const PlacedSlice& slice : placement.slices) {
    sum += static_cast<double>(loads[slice.expert]) * slice.share;
  }
  return sum;
}

/// The fresh ranks under new names: pairs with the most common rows first.
LayerPlacement renamed(const LayerPlacement& current, const LayerPlacement& fresh, int ranks) {
  const auto common = common_rows(fresh, current, ranks);
  std::vector<std::tuple<std::int64_t, int, int>> pairs;  ///< -common rows, fresh, current
  for (int from = 0; from < ranks; ++from) {
    for (int to = 0; to < ranks; ++to) pairs.emplace_back(-common[from][to], from, to);
  }
  std::sort(pairs.begin(), pairs.end());
  std::vector<int> name(static_cast<std::size_t>(ranks), -1);
  std::vector<bool> taken(static_cast<std::size_t>(ranks), false);
  for (const auto& [rows, from, to] : pairs) {
    if (name[from] >= 0 || taken[to]) continue;
    name[from] = to;
    taken[to] = true;
  }
  LayerPlacement placement = fresh;
  for (PlacedSlice& slice : placement.slices) slice.rank = name[slice.rank];
  return placement;
}

/// Puts the pieces of each cut expert in the order in which their ranks held it before; the last
/// one stays last, for it may be no multiple of the granularity.
void reorder_pieces(LayerPlacement& placement, const LayerPlacement& current) {
  const auto begin_before = [&](const PlacedSlice& piece) {
    for (const PlacedSlice& old : current.slices) {
      if (old.expert == piece.expert && old.rank == piece.rank) return old.begin;
    }
    return piece.begin;
  };
  auto first = placement.slices.begin();
  while (first != placement.slices.end()) {
    const auto end = std::find_if(first, placement.slices.end(), [&](const PlacedSlice& piece) {
      return piece.expert != first->expert;
    });
    std::stable_sort(first, std::prev(end), [&](const PlacedSlice& a, const PlacedSlice& b) {
      return begin_before(a) < begin_before(b);
    });
    std::int64_t begin = 0;
    for (; first != end; ++first) {
      const std::int64_t width = first->width();
      first->begin = begin;
      begin += width;
      first->end = begin;
    }
  }
}

}  // namespace

bool fits_room(const LayerPlacement& placement, const LayerLimits& limits) {
  const std::vector<std::int64_t> rows = counted_rows(limits.problem, placement);
  return std::equal(rows.begin(), rows.end(), limits.room.begin(), std::less_equal<>());
}

bool is_balanced(const LayerPlacement& placement, const LayerLimits& limits) {
  constexpr double kRounding = 1e-12;  // of shares
  const std::vector<std::int64_t> loads = effective_loads(limits.problem.layers[limits.layer]);
  std::vector<double> work(static_cast<std::size_t>(limits.problem.ranks), 0.0);
  for (const PlacedSlice& slice : placement.slices) {
    work[slice.rank] += static_cast<double>(loads[slice.expert] * slice.width()) * slice.share;
  }
  const double mean = std::accumulate(work.begin(), work.end(), 0.0) / limits.problem.ranks;
  return *std::max_element(work.begin(), work.end()) <=
         mean * (1 + limits.problem.tolerance + kRounding);
}

std::int64_t moved_rows(const LayerPlacement& before, const LayerPlacement& after) {
  std::int64_t moved = 0;
  for (const PlacedSlice& slice : after.slices) {
    moved += slice.width();
    for (const PlacedSlice& old : before.slices) {
      if (old.rank == slice.rank) moved -= overlap(old, slice);
    }
  }
  return moved;
}

LayerPlacement follow(const LayerPlacement& current, const LayerPlacement& fresh,
                      const LayerLimits& limits) {
  LayerPlacement placement = renamed(current, fresh, limits.problem.ranks);
  reorder_pieces(placement, current);
  const bool follows = moved_rows(current, placement) <= moved_rows(current, fresh);
  return follows && fits_room(placement, limits) ? placement : fresh;
}

bool is_worth_keeping(const LayerPlacement& current, const LayerPlacement& fresh,
                      const LayerLimits& limits) {
  const std::vector<std::int64_t> loads = effective_loads(limits.problem.layers[limits.layer]);
  const bool is_cheap = traffic(current, loads) <= kTrafficWorthMoving * traffic(fresh, loads);
  return is_cheap && fits_room(current, limits) && is_balanced(current, limits);
}

}  // namespace hetmoe
