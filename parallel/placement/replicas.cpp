#include "parallel/placement/replicas.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>

#include "parallel/placement/cost.h"

namespace hetmoe {
namespace {

/// Slices of one expert, [begin, end) in the layer's list.
struct Pieces {
  int expert = 0;
  std::size_t begin = 0;
  std::size_t end = 0;

  std::int64_t count() const { return static_cast<std::int64_t>(end - begin); }
};

std::vector<Pieces> cut_experts(const LayerPlacement& placement) {
  std::vector<Pieces> all;
  const auto& slices = placement.slices;
  for (std::size_t i = 0; i < slices.size(); ++i) {
    if (all.empty() || all.back().expert != slices[i].expert) {
      all.push_back({.expert = slices[i].expert, .begin = i, .end = i});
    }
    all.back().end = i + 1;
  }
  std::erase_if(all, [](const Pieces& pieces) { return pieces.count() == 1; });
  return all;
}

/// Whole copies on the ranks that hold the pieces; the lowest rank comes first and owns.
std::vector<PlacedSlice> copies_of(const LayerPlacement& placement, const Pieces& pieces) {
  std::vector<PlacedSlice> copies(placement.slices.begin() + pieces.begin,
                                  placement.slices.begin() + pieces.end);
  const std::int64_t width = copies.back().end;
  for (PlacedSlice& copy : copies) {
    copy.share = static_cast<double>(copy.width()) / static_cast<double>(width);
    copy.begin = 0;
    copy.end = width;
  }
  std::sort(copies.begin(), copies.end(),
            [](const auto& a, const auto& b) { return a.rank < b.rank; });
  return copies;
}

/// Bytes of a step: rows that need not travel any more, less gradients and copies that now do.
double saved_bytes(const PlanProblem& problem, std::int64_t tokens, std::int64_t width,
                   std::int64_t replicas) {
  constexpr double kTransfers = 4, kMatrices = 3, kGradientBytes = 4;
  const double per_replica =
      kTransfers * static_cast<double>(tokens) * problem.bytes_per_value -
      kMatrices * static_cast<double>(width) * (kGradientBytes + problem.bytes_per_value);
  return per_replica * static_cast<double>(replicas * problem.hidden_size);
}

bool on_different_ranks(const std::vector<PlacedSlice>& sorted) {
  return std::adjacent_find(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
           return a.rank == b.rank;
         }) == sorted.end();
}

LayerPlacement replaced(const LayerPlacement& placement, const std::vector<PlacedSlice>& copies) {
  LayerPlacement result;
  bool is_in = false;
  for (const PlacedSlice& slice : placement.slices) {
    if (slice.expert != copies.front().expert) {
      result.slices.push_back(slice);
    } else if (!is_in) {
      result.slices.insert(result.slices.end(), copies.begin(), copies.end());
      is_in = true;
    }
  }
  return result;
}

bool fits(const std::vector<std::int64_t>& rows, const std::vector<std::int64_t>& room) {
  return std::equal(rows.begin(), rows.end(), room.begin(), std::less_equal<>());
}

}  // namespace

bool are_replicas(const PlacedSlice& a, const PlacedSlice& b) {
  return a.expert == b.expert && a.begin == b.begin;
}

std::vector<std::int64_t> counted_rows(const PlanProblem& problem,
                                       const LayerPlacement& placement) {
  const double replica_part = problem.bytes_per_replica_parameter / problem.bytes_per_parameter;
  std::vector<std::int64_t> rows(static_cast<std::size_t>(problem.ranks), 0);
  const PlacedSlice* previous = nullptr;
  for (const PlacedSlice& slice : placement.slices) {
    const bool is_replica = previous != nullptr && are_replicas(*previous, slice);
    rows[slice.rank] += is_replica ? static_cast<std::int64_t>(std::ceil(
                                         replica_part * static_cast<double>(slice.width())))
                                   : slice.width();
    previous = &slice;
  }
  return rows;
}

LayerPlacement with_replicas(const PlanProblem& problem, std::size_t layer,
                             LayerPlacement placement, const std::vector<std::int64_t>& room) {
  std::int64_t left = problem.replicas;
  const std::vector<std::int64_t> loads = effective_loads(problem.layers[layer]);
  std::vector<Pieces> candidates = cut_experts(placement);
  std::stable_sort(candidates.begin(), candidates.end(), [&](const Pieces& a, const Pieces& b) {
    return loads[a.expert] > loads[b.expert];
  });
  const LayerPlacement cut = placement;  // where the candidates' pieces are
  for (const Pieces& pieces : candidates) {
    if (pieces.count() - 1 > left) continue;
    const std::int64_t width = problem.layers[layer].widths[pieces.expert];
    if (saved_bytes(problem, loads[pieces.expert], width, pieces.count() - 1) <= 0) continue;
    const std::vector<PlacedSlice> copies = copies_of(cut, pieces);
    if (!on_different_ranks(copies)) continue;
    LayerPlacement copied = replaced(placement, copies);
    if (!fits(counted_rows(problem, copied), room)) continue;
    placement = std::move(copied);
    left -= pieces.count() - 1;
  }
  return placement;
}

}  // namespace hetmoe
