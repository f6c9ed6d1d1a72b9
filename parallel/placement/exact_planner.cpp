#include "parallel/placement/exact_planner.h"

#include <coin/Cbc_C_Interface.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <utility>

#include "parallel/placement/cost.h"
#include "parallel/placement/row_layout.h"
#include "parallel/placement/slice_planner.h"

namespace hetmoe {
namespace {

struct DeleteModel {
  void operator()(Cbc_Model* model) const { Cbc_deleteModel(model); }
};

/// A mixed-integer programme column by column, as the solver wants it.
class Programme {
 public:
  int add_row(double low, double high) {
    row_low_.push_back(low);
    row_high_.push_back(high);
    return static_cast<int>(row_low_.size()) - 1;
  }
  int add_integer(double high, double cost, std::vector<std::pair<int, double>> entries) {
    starts_.push_back(static_cast<int>(index_.size()));
    for (const auto& [row, value] : entries) {
      index_.push_back(row);
      value_.push_back(value);
    }
    high_.push_back(high);
    cost_.push_back(cost);
    return static_cast<int>(high_.size()) - 1;
  }

  std::unique_ptr<Cbc_Model, DeleteModel> build() {
    std::unique_ptr<Cbc_Model, DeleteModel> model(Cbc_newModel());
    std::vector<int> starts = starts_;
    starts.push_back(static_cast<int>(index_.size()));
    const std::vector<double> low(high_.size(), 0.0);
    Cbc_loadProblem(model.get(), static_cast<int>(high_.size()), static_cast<int>(row_low_.size()),
                    starts.data(), index_.data(), value_.data(), low.data(), high_.data(),
                    cost_.data(), row_low_.data(), row_high_.data());
    for (int column = 0; column < static_cast<int>(high_.size()); ++column) {
      Cbc_setInteger(model.get(), column);
    }
    return model;
  }

 private:
  std::vector<double> row_low_, row_high_, value_, high_, cost_;
  std::vector<int> starts_, index_;
};

/// Columns of one (expert, rank): granules, the remainder below one granule, presence.
struct PairColumns {
  int granules = -1;
  int remainder = -1;
  int presence = -1;
};

class LayerProgramme {
 public:
  LayerProgramme(const PlanLayer& layer, int ranks, double tolerance, std::int64_t granularity,
                 const std::vector<std::int64_t>& room)
      : layer_(layer), tokens_(effective_loads(layer)), ranks_(ranks), granularity_(granularity) {
    double work = 0;
    for (std::size_t e = 0; e < tokens_.size(); ++e) {
      work += static_cast<double>(tokens_[e] * layer.widths[e]);
    }
    // In units of the mean, so that the solver's tolerances mean something.
    mean_work_ = work / ranks;
    for (int rank = 0; rank < ranks; ++rank) {
      work_row_.push_back(programme_.add_row(-kInfinity, 1 + tolerance));
      rows_row_.push_back(programme_.add_row(-kInfinity, static_cast<double>(room[rank])));
    }
    // Ranks with equal room can be renamed: only one order of the largest expert's parts is looked
    // at, or the solver would prove the same thing for every order.
    ordered_expert_ = largest_work();
    if (std::any_of(room.begin(), room.end(), [&](auto rows) { return rows != room[0]; })) {
      ordered_expert_ = -1;
    }
    for (int rank = 0; rank + 1 < ranks && ordered_expert_ >= 0; ++rank) {
      order_row_.push_back(programme_.add_row(0, kInfinity));
    }
    for (std::size_t e = 0; e < tokens_.size(); ++e) add_expert(static_cast<int>(e), tolerance);
  }

  std::optional<ExactPlacement> solve(double seconds, const LayerPlacement* start) {
    const auto model = programme_.build();
    Cbc_setLogLevel(model.get(), 0);
    Cbc_setMaximumSeconds(model.get(), seconds);
    Cbc_setParameter(model.get(), "ratioGap", "1e-6");
    if (start != nullptr) set_start(model.get(), *start);
    Cbc_solve(model.get());
    if (Cbc_isProvenInfeasible(model.get()) || Cbc_bestSolution(model.get()) == nullptr) return {};
    const std::vector<std::vector<std::int64_t>> rows = read(Cbc_bestSolution(model.get()));
    ExactPlacement result;
    result.placement = lay_out_rows(rows, granularity_);
    for (const PlacedSlice& slice : result.placement.slices)
      result.traffic += tokens_[slice.expert];
    result.proven = Cbc_isProvenOptimal(model.get()) != 0;
    result.traffic_bound = result.proven ? static_cast<double>(result.traffic)
                                         : Cbc_getBestPossibleObjValue(model.get()) * scale();
    return result;
  }

 private:
  static constexpr double kInfinity = std::numeric_limits<double>::max();

  int largest_work() const {
    std::size_t largest = 0;
    for (std::size_t e = 1; e < tokens_.size(); ++e) {
      if (tokens_[e] * layer_.widths[e] > tokens_[largest] * layer_.widths[largest]) largest = e;
    }
    return static_cast<int>(largest);
  }

  double scale() const {
    double sum = 0;
    for (std::int64_t tokens : tokens_) sum += static_cast<double>(tokens);
    return sum;
  }

  void add_expert(int expert, double tolerance) {
    const std::int64_t width = layer_.widths[expert];
    const auto granules = static_cast<double>(width / granularity_);
    const auto remainder = static_cast<double>(width % granularity_);
    const double work = static_cast<double>(tokens_[expert]) / mean_work_;
    const int all_granules = programme_.add_row(granules, granules);
    const int all_remainder = programme_.add_row(remainder > 0 ? 1 : 0, remainder > 0 ? 1 : 0);
    // A hot expert is on as many ranks as its work fills.
    const double least = std::ceil(work * static_cast<double>(width) / (1 + tolerance) - 1e-9);
    const int enough = programme_.add_row(std::max(1.0, least), kInfinity);
    for (int rank = 0; rank < ranks_; ++rank) {
      // granules <= all * presence; remainder <= presence
      const int granules_present = programme_.add_row(-kInfinity, 0);
      const int remainder_present = programme_.add_row(-kInfinity, 0);
      const auto g = static_cast<double>(granularity_);
      PairColumns columns;
      std::vector<std::pair<int, double>> entries = {{all_granules, 1},
                                                     {granules_present, 1},
                                                     {work_row_[rank], work * g},
                                                     {rows_row_[rank], g}};
      if (expert == ordered_expert_ && rank + 1 < ranks_) entries.push_back({order_row_[rank], 1});
      if (expert == ordered_expert_ && rank > 0) entries.push_back({order_row_[rank - 1], -1});
      columns.granules = programme_.add_integer(granules, 0, std::move(entries));
      columns.remainder = programme_.add_integer(remainder > 0 ? 1 : 0, 0,
                                                 {{all_remainder, 1},
                                                  {remainder_present, 1},
                                                  {work_row_[rank], work * remainder},
                                                  {rows_row_[rank], remainder}});
      columns.presence = programme_.add_integer(
          1, static_cast<double>(tokens_[expert]) / scale(),
          {{granules_present, -granules}, {remainder_present, -1}, {enough, 1}});
      columns_.push_back(columns);
    }
  }

  const PairColumns& columns(int expert, int rank) const {
    return columns_[expert * ranks_ + rank];
  }

  /// What the ranks of a placement are called here, so that the ordered expert's parts descend.
  std::vector<int> names_in_order(const LayerPlacement& start) const {
    std::vector<std::int64_t> granules(static_cast<std::size_t>(ranks_), 0);
    for (const PlacedSlice& slice : start.slices) {
      if (slice.expert == ordered_expert_) granules[slice.rank] += slice.width() / granularity_;
    }
    std::vector<int> order(granules.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, [&](int a, int b) { return granules[a] > granules[b]; });
    std::vector<int> names(granules.size());
    for (int place = 0; place < ranks_; ++place) names[order[place]] = place;
    return names;
  }

  void set_start(Cbc_Model* model, const LayerPlacement& start) const {
    std::vector<int> index;
    std::vector<double> value;
    const std::vector<int> names = names_in_order(start);
    for (const PlacedSlice& slice : start.slices) {
      const PairColumns& pair = columns(slice.expert, names[slice.rank]);
      index.insert(index.end(), {pair.granules, pair.remainder, pair.presence});
      value.insert(value.end(), {static_cast<double>(slice.width() / granularity_),
                                 slice.width() % granularity_ > 0 ? 1.0 : 0.0, 1.0});
    }
    Cbc_setMIPStartI(model, static_cast<int>(index.size()), index.data(), value.data());
  }

  std::vector<std::vector<std::int64_t>> read(const double* solution) const {
    std::vector<std::vector<std::int64_t>> rows(static_cast<std::size_t>(ranks_),
                                                std::vector<std::int64_t>(tokens_.size(), 0));
    for (std::size_t e = 0; e < tokens_.size(); ++e) {
      for (int rank = 0; rank < ranks_; ++rank) {
        const PairColumns& pair = columns(static_cast<int>(e), rank);
        rows[rank][e] = std::llround(solution[pair.granules]) * granularity_ +
                        std::llround(solution[pair.remainder]) * (layer_.widths[e] % granularity_);
      }
    }
    return rows;
  }

  const PlanLayer& layer_;
  std::vector<std::int64_t> tokens_;
  int ranks_;
  std::int64_t granularity_;
  double mean_work_ = 1;
  Programme programme_;
  std::vector<int> work_row_, rows_row_, order_row_;
  int ordered_expert_ = -1;  ///< none
  std::vector<PairColumns> columns_;
};

}  // namespace

std::optional<ExactPlacement> place_exactly(const PlanLayer& layer, int ranks, double tolerance,
                                            std::int64_t granularity,
                                            const std::vector<std::int64_t>& room, double seconds,
                                            const LayerPlacement* start) {
  return LayerProgramme(layer, ranks, tolerance, granularity, room).solve(seconds, start);
}

Plan plan_exactly(const PlanProblem& problem, double seconds) {
  validate_problem(problem);
  const auto place = [&](std::size_t layer, const std::vector<std::int64_t>& room) {
    LayerPlacement everyday = place_slices(problem.layers[layer], problem.ranks, problem.tolerance,
                                           problem.granularity, room);
    auto exact = place_exactly(problem.layers[layer], problem.ranks, problem.tolerance,
                               problem.granularity, room, seconds, &everyday);
    return exact ? std::move(exact->placement) : std::move(everyday);
  };
  return evaluate(problem, place_layers(problem, place));
}

}  // namespace hetmoe
