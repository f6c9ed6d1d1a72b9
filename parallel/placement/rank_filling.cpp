#include "parallel/placement/rank_filling.h"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <tuple>

namespace hetmoe {
namespace {

std::int64_t ceiling(std::int64_t value, std::int64_t divisor) {
  return value <= 0 ? -(-value / divisor) : (value + divisor - 1) / divisor;
}

std::int64_t floor_of(std::int64_t value, std::int64_t divisor) {
  return -ceiling(-value, divisor);
}

/// The largest part of `entry` (a multiple of the granularity, not all of it) within the limits, 0
/// if there is none.
std::int64_t largest_part(const ExpertRows& entry, const FillingLimits& limits,
                          std::int64_t granularity) {
  std::int64_t least = std::max<std::int64_t>(1, limits.least_rows);
  std::int64_t most = std::min(entry.rows - 1, limits.most_rows);
  if (entry.tokens > 0) {
    least = std::max(least, ceiling(limits.least_work, entry.tokens));
    most = std::min(most, floor_of(limits.most_work, entry.tokens));
  } else if (limits.least_work > 0) {
    return 0;
  }
  const std::int64_t part = most >= 0 ? most / granularity * granularity : 0;
  return part >= least ? part : 0;
}

FillingLimits less(const FillingLimits& limits, std::int64_t work, std::int64_t rows) {
  return {limits.least_work - work, limits.most_work - work, limits.least_rows - rows,
          limits.most_rows - rows, limits.required};
}

bool hold(const FillingLimits& limits) {
  return limits.least_work <= 0 && limits.most_work >= 0 && limits.least_rows <= 0 &&
         limits.most_rows >= 0;
}

/// Looks at all subsets of a few candidates and keeps the cheapest fillings.
class FillingSearch {
 public:
  FillingSearch(std::span<const ExpertRows> stock, std::vector<std::size_t> candidates,
                const FillingLimits& limits, std::int64_t granularity, std::size_t most)
      : stock_(stock),
        candidates_(std::move(candidates)),
        limits_(limits),
        granularity_(granularity),
        most_(most) {
    // Hot before cold: of two parts the first is the coarse one.
    std::stable_sort(candidates_.begin(), candidates_.end(), [&](std::size_t a, std::size_t b) {
      return stock_[a].tokens > stock_[b].tokens;
    });
    const auto place = std::find(candidates_.begin(), candidates_.end(),
                                 static_cast<std::size_t>(limits.required));
    required_ = place == candidates_.end() ? -1 : static_cast<int>(place - candidates_.begin());
  }

  std::vector<Filling> run() {
    const std::uint32_t subsets = 1U << candidates_.size();
    std::vector<std::int64_t> work(subsets, 0), rows(subsets, 0);
    for (std::uint32_t subset = 0; subset < subsets; ++subset) {
      if (subset != 0) {
        const std::uint32_t rest = subset & (subset - 1);
        const ExpertRows& entry = candidate(std::countr_zero(subset));
        work[subset] = work[rest] + entry.tokens * entry.rows;
        rows[subset] = rows[rest] + entry.rows;
      }
      if (work[subset] > limits_.most_work || rows[subset] > limits_.most_rows) continue;
      complete(subset, work[subset], less(limits_, work[subset], rows[subset]));
    }
    std::vector<Filling> fillings;
    for (const Found& found : found_) fillings.push_back(expand(found));
    return fillings;
  }

 private:
  struct Part {
    int candidate = -1;
    std::int64_t rows = 0;
  };
  struct Found {
    std::int64_t cut_tokens = 0;
    std::int64_t work = 0;
    std::uint32_t subset = 0;
    std::array<Part, 2> parts;
  };

  const ExpertRows& candidate(int index) const { return stock_[candidates_[index]]; }
  bool is_free(std::uint32_t subset, int index) const { return (subset >> index & 1U) == 0; }
  bool has_required(std::uint32_t subset, int part, int other_part = -1) const {
    return required_ < 0 || !is_free(subset, required_) || part == required_ ||
           other_part == required_;
  }

  /// No part, one part, two parts, as long as each could be among the cheapest.
  void complete(std::uint32_t subset, std::int64_t work, const FillingLimits& missing) {
    if (hold(missing) && has_required(subset, -1)) {
      return keep({.cut_tokens = 0, .work = work, .subset = subset});
    }
    const int count = static_cast<int>(candidates_.size());
    for (int i = 0; i < count; ++i) {
      if (!is_free(subset, i) || is_too_dear(candidate(i).tokens)) continue;
      const std::int64_t part = largest_part(candidate(i), missing, granularity_);
      if (part > 0 && has_required(subset, i)) {
        keep({.cut_tokens = candidate(i).tokens,
              .work = work + part * candidate(i).tokens,
              .subset = subset,
              .parts = {Part{i, part}}});
        continue;
      }
      for (int j = i + 1; j < count; ++j) {
        if (is_free(subset, j) && has_required(subset, i, j)) {
          try_two_parts(subset, work, missing, i, j);
        }
      }
    }
  }

  /// Parts of a hotter expert `i` and of a colder one `j`. Which x rows of the hotter one leave
  /// room for the colder one is an interval; a few multiples of the granularity in it are tried.
  void try_two_parts(std::uint32_t subset, std::int64_t work, const FillingLimits& missing, int i,
                     int j) {
    const ExpertRows& hot = candidate(i);
    const ExpertRows& cold = candidate(j);
    if (is_too_dear(hot.tokens + cold.tokens)) return;
    std::int64_t least = std::max<std::int64_t>(1, missing.least_rows - (cold.rows - 1));
    std::int64_t most = std::min(hot.rows - 1, missing.most_rows - 1);
    if (hot.tokens > 0) {
      least =
          std::max(least, ceiling(missing.least_work - cold.tokens * (cold.rows - 1), hot.tokens));
      most = std::min(most, floor_of(missing.most_work, hot.tokens));
    }
    if (const std::int64_t gap = hot.tokens - cold.tokens; gap > 0) {
      least = std::max(least, ceiling(missing.least_work - cold.tokens * missing.most_rows, gap));
      most = std::min(most, floor_of(missing.most_work - cold.tokens * missing.least_rows, gap));
    }
    const std::int64_t first = ceiling(least, granularity_);
    const std::int64_t last = floor_of(most, granularity_);
    if (last < first) return;
    std::int64_t tried = -1;
    for (const std::int64_t multiple : {last, (first + last) / 2, first}) {
      if (multiple == tried) continue;
      tried = multiple;
      const std::int64_t x = multiple * granularity_;
      const std::int64_t y = largest_part(cold, less(missing, x * hot.tokens, x), granularity_);
      if (y == 0) continue;
      keep({.cut_tokens = hot.tokens + cold.tokens,
            .work = work + x * hot.tokens + y * cold.tokens,
            .subset = subset,
            .parts = {Part{i, x}, Part{j, y}}});
    }
  }

  bool is_too_dear(std::int64_t cut_tokens) const {
    return found_.size() == most_ && cut_tokens > found_.back().cut_tokens;
  }

  void keep(const Found& found) {
    const auto key = [](const Found& f) { return std::tuple(f.cut_tokens, -f.work, f.subset); };
    const auto place =
        std::upper_bound(found_.begin(), found_.end(), found,
                         [&](const Found& a, const Found& b) { return key(a) < key(b); });
    if (found_.size() == most_ && place == found_.end()) return;
    found_.insert(place, found);
    if (found_.size() > most_) found_.pop_back();
  }

  Filling expand(const Found& found) const {
    Filling filling{std::vector<std::int64_t>(stock_.size(), 0), found.work, found.cut_tokens};
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
      if (!is_free(found.subset, static_cast<int>(i))) {
        filling.rows[candidates_[i]] = stock_[candidates_[i]].rows;
      }
    }
    for (const Part& part : found.parts) {
      if (part.candidate >= 0) filling.rows[candidates_[part.candidate]] = part.rows;
    }
    return filling;
  }

  std::span<const ExpertRows> stock_;
  std::vector<std::size_t> candidates_;
  FillingLimits limits_;
  std::int64_t granularity_;
  std::size_t most_;
  int required_ = -1;  ///< among the candidates
  std::vector<Found> found_;
};

/// The heaviest expert, those that best complete it, and the coldest.
std::vector<std::size_t> choose_candidates(std::span<const ExpertRows> stock,
                                           const FillingLimits& limits, std::size_t most) {
  std::vector<std::size_t> all(stock.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  if (all.size() <= most) return all;
  std::vector<std::size_t> chosen;
  if (limits.required >= 0) {
    chosen.push_back(static_cast<std::size_t>(limits.required));
    all.erase(all.begin() + limits.required);
  }
  const auto work = [&](std::size_t i) { return stock[i].tokens * stock[i].rows; };
  const auto take = [&](auto before, std::size_t count) {
    count = std::min(count, all.size());
    std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count), all.end(),
                      before);
    chosen.insert(chosen.end(), all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count));
    all.erase(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count));
  };
  take([&](std::size_t a,
           std::size_t b) { return std::tuple(-work(a), a) < std::tuple(-work(b), b); },
       2);
  take(
      [&](std::size_t a, std::size_t b) {
        return std::tuple(stock[a].tokens, -stock[a].rows, a) <
               std::tuple(stock[b].tokens, -stock[b].rows, b);
      },
      3);
  const std::int64_t heaviest = std::min(work(chosen[0]), limits.most_work);
  const std::int64_t missing = limits.most_work - heaviest;
  take(
      [&](std::size_t a, std::size_t b) {
        const auto distance = [&](std::size_t i) { return std::abs(missing - work(i)); };
        return std::tuple(distance(a), a) < std::tuple(distance(b), b);
      },
      most - chosen.size());
  return chosen;
}

}  // namespace

std::vector<Filling> cheapest_fillings(std::span<const ExpertRows> stock,
                                       const FillingLimits& limits, std::int64_t granularity,
                                       std::size_t most, std::size_t candidates) {
  return FillingSearch(stock, choose_candidates(stock, limits, candidates), limits, granularity,
                       most)
      .run();
}

}  // namespace hetmoe
