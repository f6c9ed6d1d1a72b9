#include "parallel/placement/rebalance_decision.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "parallel/placement/cost.h"
#include "parallel/placement/migration.h"

namespace hetmoe {
namespace {

// A master and two moments of four bytes in each of three matrices.
constexpr std::int64_t kBytesPerRowAndColumn = 3 * 3 * 4;

/// Sums over layers: tokens times hidden units of the busiest rank, and of the mean rank.
struct Work {
  double largest = 0;
  double mean = 0;
};

Work work_of(const PlanProblem& problem, const Plan& plan) {
  Work work;
  for (std::size_t layer = 0; layer < problem.layers.size(); ++layer) {
    const std::vector<std::int64_t> loads = effective_loads(problem.layers[layer]);
    double mean = 0;
    for (std::size_t expert = 0; expert < loads.size(); ++expert) {
      mean += static_cast<double>(loads[expert]) *
              static_cast<double>(problem.layers[layer].widths[expert]) / problem.ranks;
    }
    work.mean += mean;
    work.largest += mean * plan.layers[layer].flops_max_over_mean;
  }
  return work;
}

double seconds_per_step(const RebalanceQuestion& question, const PlanProblem& problem,
                        const Plan& plan) {
  return plan.predicted_step_seconds
             ? *plan.predicted_step_seconds
             : work_of(problem, plan).largest * question.seconds_per_token_unit;
}

double gain_seconds(const RebalanceQuestion& question, const PlanProblem& problem,
                    const Placement& from, const Placement& to) {
  return seconds_per_step(question, problem, evaluate(problem, from)) -
         seconds_per_step(question, problem, evaluate(problem, to));
}

PlanProblem with_loads(PlanProblem problem, const Loads& tokens) {
  HETMOE_CHECK(tokens.size() == problem.layers.size(), tokens.size(), " layers of loads");
  for (std::size_t layer = 0; layer < tokens.size(); ++layer) {
    problem.layers[layer].tokens = tokens[layer];
  }
  return problem;
}

std::int64_t most_held_rows(const LayerPlacement& placement, int ranks) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(ranks), 0);
  for (const PlacedSlice& slice : placement.slices) rows[slice.rank] += slice.width();
  return *std::max_element(rows.begin(), rows.end());
}

void price_move(const RebalanceQuestion& question, const Placement& current,
                RebalanceAnswer& answer) {
  const ExpertGroups groups{question.problem.ranks, question.groups};
  const auto bytes_per_row =
      static_cast<double>(kBytesPerRowAndColumn * question.problem.hidden_size);
  std::int64_t moving = 0, copied = 0, sent = 0;
  for (std::size_t layer = 0; layer < current.layers.size(); ++layer) {
    const LayerPlacement& after = answer.plan.placement.layers[layer];
    if (same_rows(current.layers[layer], after)) continue;
    const auto transfers = row_transfers(current.layers[layer], after, groups);
    moving += moving_rows(transfers);
    sent += busiest_rows(transfers, groups.ranks());
    copied += most_held_rows(after, groups.size);
  }
  const MovePrice& price = question.move;
  answer.moving_bytes = moving * static_cast<std::int64_t>(bytes_per_row);
  answer.moving_seconds = price.factor * bytes_per_row *
                          (static_cast<double>(copied) / price.copied_bytes_per_second +
                           static_cast<double>(sent) / price.sent_bytes_per_second);
}

/// A strategy of whole experts may not find a placement under the cap; then at least not worse.
bool keeps_memory(const PlanProblem& problem, const Placement& current, const Plan& plan) {
  return !missed_cap(problem, plan) ||
         plan.memory_max_over_mean <= evaluate(problem, current).memory_max_over_mean;
}

}  // namespace

RebalanceAnswer decide_rebalance(const RebalanceQuestion& question) {
  const PlanProblem& problem = question.problem;
  HETMOE_CHECK(problem.current.has_value(), "a rebalance starts from a placement");
  const Placement& current = *problem.current;
  RebalanceAnswer answer;
  answer.plan = plan(problem, question.strategy);
  if (answer.plan.placement == current) return answer;
  price_move(question, current, answer);
  const PlanProblem earlier = with_loads(problem, question.earlier_tokens);
  answer.gain_seconds = std::min(gain_seconds(question, problem, current, answer.plan.placement),
                                 gain_seconds(question, earlier, current, answer.plan.placement));
  const Work before = work_of(problem, evaluate(problem, current));
  const Work after = work_of(problem, answer.plan);
  answer.flops_max_over_mean_before = before.largest / before.mean;
  answer.flops_max_over_mean_after = after.largest / after.mean;
  answer.moves = keeps_memory(problem, current, answer.plan) &&
                 answer.gain_seconds * static_cast<double>(question.steps_until_next_look) >
                     answer.moving_seconds;
  return answer;
}

}  // namespace hetmoe
