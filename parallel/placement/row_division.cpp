#include "parallel/placement/row_division.h"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace hetmoe {
namespace {

class DivisionSearch {
 public:
  DivisionSearch(const DivisionProblem& problem, const DivisionEffort& effort,
                 std::int64_t most_cut_tokens)
      : problem_(problem),
        effort_(effort),
        fillings_left_(effort.fillings),
        bound_(most_cut_tokens) {
    // Ranks that may do least first: the last one takes what is left.
    order_.resize(problem.room.size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::stable_sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) {
      return std::tuple(problem.most_work[a], problem.room[a]) <
             std::tuple(problem.most_work[b], problem.room[b]);
    });
    ranks_are_alike_ = problem.most_work[order_.front()] == problem.most_work[order_.back()];
    room_after_.assign(order_.size() + 1, 0);
    work_after_.assign(order_.size() + 1, 0);
    for (std::size_t i = order_.size(); i-- > 0;) {
      room_after_[i] = room_after_[i + 1] + problem.room[order_[i]];
      work_after_[i] = work_after_[i + 1] + problem.most_work[order_[i]];
    }
    current_.rows.resize(order_.size());
  }

  std::optional<Division> run() {
    std::vector<std::int64_t> left;
    for (const ExpertRows& entry : problem_.stock) left.push_back(entry.rows);
    descend(0, left);
    return std::move(best_);
  }

 private:
  void descend(std::size_t depth, const std::vector<std::int64_t>& left) {
    std::vector<ExpertRows> stock;
    std::vector<std::size_t> index;
    std::int64_t work = 0, rows = 0;
    for (std::size_t i = 0; i < left.size(); ++i) {
      if (left[i] == 0) continue;
      stock.push_back({problem_.stock[i].expert, problem_.stock[i].tokens, left[i]});
      index.push_back(i);
      work += stock.back().tokens * left[i];
      rows += left[i];
    }
    const std::int64_t room = problem_.room[order_[depth]];
    const std::int64_t most_work = problem_.most_work[order_[depth]];
    if (depth + 1 == order_.size()) {
      if (work > most_work || rows > room) return;
      current_.rows[order_[depth]] = left;
      best_ = current_;
      bound_ = current_.cut_tokens;
      return;
    }
    const double fair = effort_.evenness / static_cast<double>(order_.size() - depth);
    const auto fair_part = [&](std::int64_t all) {
      return static_cast<std::int64_t>(fair * static_cast<double>(all));
    };
    const FillingLimits limits{
        .least_work = std::max(work - work_after_[depth + 1], fair_part(work)),
        .most_work = most_work,
        .least_rows = std::max(rows - room_after_[depth + 1], fair_part(rows)),
        .most_rows = std::min(room, rows),
        .required = ranks_are_alike_ ? heaviest(stock) : -1};
    if (--fillings_left_ < 0) return;
    for (const Filling& filling : cheapest_fillings(stock, limits, problem_.granularity,
                                                    effort_.branches, effort_.candidates)) {
      if (current_.cut_tokens + filling.cut_tokens >= bound_) break;
      std::vector<std::int64_t> rest = left;
      std::vector<std::int64_t> taken(left.size(), 0);
      for (std::size_t i = 0; i < index.size(); ++i) {
        taken[index[i]] = filling.rows[i];
        rest[index[i]] -= filling.rows[i];
      }
      current_.rows[order_[depth]] = std::move(taken);
      current_.cut_tokens += filling.cut_tokens;
      descend(depth + 1, rest);
      current_.cut_tokens -= filling.cut_tokens;
      if (fillings_left_ < 0) return;
    }
  }

  static int heaviest(const std::vector<ExpertRows>& stock) {
    if (stock.empty()) return -1;
    const auto place =
        std::max_element(stock.begin(), stock.end(), [](const ExpertRows& a, const ExpertRows& b) {
          return a.tokens * a.rows < b.tokens * b.rows;
        });
    return static_cast<int>(place - stock.begin());
  }

  const DivisionProblem& problem_;
  const DivisionEffort& effort_;
  int fillings_left_;
  std::int64_t bound_;
  std::vector<std::size_t> order_;
  std::vector<std::int64_t> room_after_, work_after_;  ///< of the ranks from here on, in that order
  bool ranks_are_alike_ = false;
  Division current_;
  std::optional<Division> best_;
};

}  // namespace

std::optional<Division> divide_rows(const DivisionProblem& problem, const DivisionEffort& effort,
                                    std::int64_t most_cut_tokens) {
  return DivisionSearch(problem, effort, most_cut_tokens).run();
}

}  // namespace hetmoe
