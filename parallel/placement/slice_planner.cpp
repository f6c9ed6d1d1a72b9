#include "parallel/placement/slice_planner.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <tuple>

#include "parallel/placement/cost.h"
#include "parallel/placement/row_division.h"
#include "parallel/placement/row_layout.h"

namespace hetmoe {
namespace {

using Rows = std::vector<std::vector<std::int64_t>>;  ///< [ranks][experts]

/// What the search may spend, in fillings of a rank.
struct Effort {
  std::vector<DivisionEffort> all;  ///< of all ranks together; the next one if one finds nothing
  int improvements = 0;             ///< divisions of pairs and triples
};

Effort effort_for(int ranks) {
  if (ranks <= 16) {
    return {.all = {{.branches = 3, .fillings = 12 * ranks},
                    {.branches = 8, .fillings = 200 * ranks},
                    {.branches = 3, .fillings = 12 * ranks, .evenness = 0.9}},
            .improvements = 200};
  }
  return {.all = {{.branches = 1, .fillings = ranks, .candidates = 8, .evenness = 0.95},
                  {.branches = 1, .fillings = ranks, .candidates = 10, .evenness = 0.9}},
          .improvements = 2 * ranks};
}

/// With many experts per rank most are placed whole; as many as this, and one per rank, the
/// coldest, are left to be divided: they are cheap to cut and fine-grained.
constexpr std::size_t kLeastDivided = 10;

class LayerSearch {
 public:
  LayerSearch(const PlanLayer& layer, int ranks, double tolerance, std::int64_t granularity,
              const std::vector<std::int64_t>& room)
      : widths_(layer.widths),
        tokens_(effective_loads(layer)),
        granularity_(granularity),
        room_(room),
        ranks_(ranks),
        tolerance_(std::max(tolerance, 1e-3)) {
    rows_.assign(static_cast<std::size_t>(ranks), std::vector<std::int64_t>(widths_.size(), 0));
  }

  LayerPlacement run() {
    const Effort effort = effort_for(ranks_);
    improvements_left_ = effort.improvements;
    set_tolerance(tolerance_);
    const bool filled = fill_any(effort) || meets_limits_when_dealt();
    // Where granules are too coarse for the tolerance, the next best is sought.
    for (double slack = 2; !filled && slack <= 16; slack *= 2) {
      set_tolerance(slack * tolerance_);
      if (fill(effort.all.front(), 1)) {
        improve();
        return lay_out_rows(rows_, granularity_);
      }
    }
    if (filled) {
      improve();
    } else {
      deal_evenly();
    }
    return lay_out_rows(rows_, granularity_);
  }

 private:
  void set_tolerance(double tolerance) {
    std::int64_t work = 0;
    for (std::size_t e = 0; e < widths_.size(); ++e) work += work_of(e);
    most_work_ = static_cast<std::int64_t>(static_cast<double>(work) / ranks_ * (1 + tolerance));
  }

  /// First with few experts divided, then with more.
  bool fill_any(const Effort& effort) {
    for (const std::size_t divided_per_rank : {1, 3}) {
      for (const DivisionEffort& one : effort.all) {
        if (fill(one, divided_per_rank)) return true;
      }
      if (widths_.size() <= 2 * room_.size()) break;  // none was placed whole
    }
    return false;
  }

  bool fill(const DivisionEffort& effort, std::size_t divided_per_rank) {
    DivisionProblem problem{.room = room_,
                            .most_work = std::vector<std::int64_t>(room_.size(), most_work_),
                            .granularity = granularity_};
    const std::vector<std::size_t> divided = place_most_whole(problem, divided_per_rank);
    for (std::size_t e : divided) {
      problem.stock.push_back({static_cast<int>(e), tokens_[e], widths_[e]});
    }
    const auto division = divide_rows(problem, effort, std::numeric_limits<std::int64_t>::max());
    if (!division) return false;
    for (std::size_t i = 0; i < divided.size(); ++i) {
      for (int rank = 0; rank < ranks_; ++rank) rows_[rank][divided[i]] = division->rows[rank][i];
    }
    return true;
  }

  /// Places the heavy ones of very many experts, each on the rank that is filled least, and takes
  /// that from the ranks' limits. Gives the experts that are left.
  std::vector<std::size_t> place_most_whole(DivisionProblem& problem,
                                            std::size_t divided_per_rank) {
    for (auto& row : rows_) std::fill(row.begin(), row.end(), 0);
    std::vector<std::size_t> order(widths_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const std::size_t left = kLeastDivided + divided_per_rank * room_.size();
    if (order.size() <= 2 * room_.size() || order.size() <= left) return order;
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return tokens_[a] > tokens_[b]; });
    const std::size_t whole = order.size() - left;
    std::stable_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(whole),
                     [&](std::size_t a, std::size_t b) { return work_of(a) > work_of(b); });
    std::vector<std::size_t> rest(order.begin() + static_cast<std::ptrdiff_t>(whole), order.end());
    for (std::size_t i = 0; i < whole; ++i) {
      const std::size_t e = order[i];
      const std::size_t rank = emptiest_rank(problem);
      if (problem.most_work[rank] < work_of(e) || problem.room[rank] < widths_[e]) {
        rest.push_back(e);
        continue;
      }
      problem.most_work[rank] -= work_of(e);
      problem.room[rank] -= widths_[e];
      rows_[rank][e] = widths_[e];
    }
    return rest;
  }

  std::int64_t work_of(std::size_t expert) const { return tokens_[expert] * widths_[expert]; }

  /// The rank whose work and rows are the smallest part of what it may hold.
  std::size_t emptiest_rank(const DivisionProblem& problem) const {
    const auto left = [&](std::size_t rank) {
      return std::min(
          static_cast<double>(problem.most_work[rank]) / static_cast<double>(most_work_),
          static_cast<double>(problem.room[rank]) / static_cast<double>(room_[rank]));
    };
    std::size_t best = 0;
    for (std::size_t rank = 1; rank < room_.size(); ++rank) {
      if (left(rank) > left(best)) best = rank;
    }
    return best;
  }

  /// Divides small groups of ranks anew until nothing is saved or the effort is spent.
  void improve() {
    for (bool improved = true; improved && improvements_left_ > 0;) {
      improved = false;
      for (int a = 0; a < ranks_; ++a) {
        for (int b = a + 1; b < ranks_; ++b) {
          if (!share_an_expert(a, b)) continue;
          if (divide_anew({a, b})) improved = true;
          for (int c = 0; c < ranks_ && improvements_left_ > 0; ++c) {
            if (c != a && c != b && divide_anew({a, b, c})) improved = true;
          }
        }
      }
    }
  }

  bool share_an_expert(int a, int b) const {
    for (std::size_t e = 0; e < widths_.size(); ++e) {
      if (rows_[a][e] > 0 && rows_[b][e] > 0 && tokens_[e] > 0) return true;
    }
    return false;
  }

  /// Divides what a few ranks hold among them anew, if that saves cuts.
  bool divide_anew(const std::vector<int>& ranks) {
    if (--improvements_left_ < 0) return false;
    DivisionProblem problem{.most_work = std::vector<std::int64_t>(ranks.size(), most_work_),
                            .granularity = granularity_};
    for (int rank : ranks) problem.room.push_back(room_[rank]);
    std::int64_t cut_tokens = 0;
    for (const HeldExpert& held : choose_movable(ranks, problem)) {
      cut_tokens += (held.pieces - 1) * tokens_[held.expert];
      problem.stock.push_back({held.expert, tokens_[held.expert], held.rows});
    }
    const auto division = divide_rows(problem, {.branches = 8, .fillings = 12}, cut_tokens);
    if (!division) return false;
    for (std::size_t i = 0; i < ranks.size(); ++i) {
      for (std::size_t s = 0; s < problem.stock.size(); ++s) {
        rows_[ranks[i]][problem.stock[s].expert] = division->rows[i][s];
      }
    }
    return true;
  }

  struct HeldExpert {
    int expert = 0;
    int pieces = 0;
    std::int64_t rows = 0;
  };

  /// What a few ranks hold. Of many experts only the cut ones and the coldest others may move; the
  /// rest is taken from the ranks' limits.
  std::vector<HeldExpert> choose_movable(const std::vector<int>& ranks, DivisionProblem& problem) {
    std::vector<HeldExpert> held;
    for (std::size_t e = 0; e < widths_.size(); ++e) {
      HeldExpert one{static_cast<int>(e)};
      for (int rank : ranks) {
        one.rows += rows_[rank][e];
        if (rows_[rank][e] > 0) ++one.pieces;
      }
      if (one.pieces > 0) held.push_back(one);
    }
    if (held.size() <= kLeastDivided) return held;
    std::stable_sort(held.begin(), held.end(), [&](const HeldExpert& a, const HeldExpert& b) {
      return std::tuple(-a.pieces, tokens_[a.expert]) < std::tuple(-b.pieces, tokens_[b.expert]);
    });
    for (std::size_t i = kLeastDivided; i < held.size(); ++i) {
      for (std::size_t r = 0; r < ranks.size(); ++r) {
        const std::int64_t rows = rows_[ranks[r]][held[i].expert];
        problem.most_work[r] -= rows * tokens_[held[i].expert];
        problem.room[r] -= rows;
      }
    }
    held.resize(kLeastDivided);
    return held;
  }

  /// Deals the rows out evenly and says whether that meets the limits; it stays the answer if not.
  bool meets_limits_when_dealt() {
    deal_evenly();
    for (int rank = 0; rank < ranks_; ++rank) {
      std::int64_t work = 0, rows = 0;
      for (std::size_t e = 0; e < widths_.size(); ++e) {
        work += rows_[rank][e] * tokens_[e];
        rows += rows_[rank][e];
      }
      if (work > most_work_ || rows > room_[rank]) return false;
    }
    return true;
  }

  /// Every rank about the same rows of every expert, those with the least work so far first.
  void deal_evenly() {
    for (auto& row : rows_) std::fill(row.begin(), row.end(), 0);
    std::vector<std::int64_t> work(static_cast<std::size_t>(ranks_), 0);
    std::vector<std::int64_t> room = room_;
    std::vector<std::size_t> order(widths_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return tokens_[a] > tokens_[b]; });
    for (std::size_t e : order) {
      for (std::int64_t begin = 0; begin < widths_[e]; begin += granularity_) {
        const std::int64_t rows = std::min(granularity_, widths_[e] - begin);
        std::size_t best = 0;
        const auto key = [&](std::size_t rank) {
          return std::tuple(room[rank] < rows, work[rank], -room[rank]);
        };
        for (std::size_t rank = 1; rank < work.size(); ++rank) {
          if (key(rank) < key(best)) best = rank;
        }
        rows_[best][e] += rows;
        work[best] += rows * tokens_[e];
        room[best] -= rows;
      }
    }
  }

  const std::vector<std::int64_t>& widths_;
  std::vector<std::int64_t> tokens_;
  std::int64_t granularity_;
  const std::vector<std::int64_t>& room_;
  int ranks_;
  double tolerance_;
  std::int64_t most_work_ = 0;
  int improvements_left_ = 0;
  Rows rows_;
};

}  // namespace

LayerPlacement place_slices(const PlanLayer& layer, int ranks, double tolerance,
                            std::int64_t granularity, const std::vector<std::int64_t>& room) {
  return LayerSearch(layer, ranks, tolerance, granularity, room).run();
}

}  // namespace hetmoe
