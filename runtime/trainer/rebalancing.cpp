#include "runtime/trainer/rebalancing.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <string>
#include <utility>

#include "core/base/median.h"
#include "parallel/agreement.h"
#include "parallel/placement/plan_json.h"
#include "parallel/placement/step_cost.h"

namespace hetmoe {
namespace {

// A single measured move may not switch rebalancing off for good.
constexpr double kMostLearned = 16;

void add(const Loads& more, Loads& sum) {
  sum.resize(more.size());
  for (std::size_t layer = 0; layer < more.size(); ++layer) {
    sum[layer].resize(more[layer].size());
    for (std::size_t i = 0; i < more[layer].size(); ++i) sum[layer][i] += more[layer][i];
  }
}

/// Every number over `count`, rounded.
Loads mean_loads(Loads sums, std::int64_t count) {
  for (auto& layer : sums) {
    for (std::int64_t& tokens : layer) {
      tokens = std::llround(static_cast<double>(tokens) / static_cast<double>(count));
    }
  }
  return sums;
}

constexpr std::int64_t kWindowSteps = 100;  // where only commands ask for a look

/// `ranks`: of the world, among which slices move.
MovePrice first_price(const PlanProblem& problem, int ranks) {
  if (!problem.cluster) return {};
  const Cluster& cluster = *problem.cluster;
  const bool one_node = ranks <= cluster.ranks_per_node;
  return {.copied_bytes_per_second = cluster.memory_bytes_per_second,
          .sent_bytes_per_second =
              (one_node ? cluster.same_node : cluster.other_node).bytes_per_second};
}

}  // namespace

Rebalancing::Rebalancing(const RunConfig& config, PlanProblem problem, Communicator& control,
                         const Clock& clock)
    : config_(config),
      problem_(std::move(problem)),
      control_(control),
      groups_(control.size() / problem_.ranks),
      clock_(clock),
      widths_(expert_widths(config.model.experts)),
      price_(first_price(problem_, control.size())) {}

void Rebalancing::add_step(const StepOutcome& outcome, const MeasuredStep& measured) {
  if (!can_move()) return;
  if (config_.placement.every == 0 && window_.steps == kWindowSteps) {
    earlier_ = std::exchange(window_, {});
    has_looked_ = true;
  }
  ++window_.steps;
  add(outcome.load, window_.tokens);
  window_.expert_seconds += measured.phases.expert;
  window_.step_seconds.push_back(measured.step_seconds);
  for (const auto& layer : outcome.load) {
    for (std::size_t i = 0; i < layer.size(); ++i) {
      window_.token_units += static_cast<double>(layer[i]) * static_cast<double>(widths_[i]) /
                             static_cast<double>(control_.size());
    }
  }
  if (!has_looked_ && 2 * window_.steps <= config_.placement.every) earlier_ = window_;
}

bool Rebalancing::can_move() const {
  return problem_.ranks > 1 && !config_.placement.strategy.ends_with(".json");
}

bool Rebalancing::is_due(std::int64_t step, bool is_asked_for) const {
  const std::int64_t every = config_.placement.every;
  const bool is_turn = every > 0 && step % every == 0;
  return can_move() && (is_turn || is_asked_for) && step < config_.train.steps;
}

PlanProblem Rebalancing::problem_under(const Window& seen) const {
  PlanProblem problem = problem_;
  // Every group follows the same plan, made for what a group routes in a step on average.
  const Loads tokens = mean_loads(seen.tokens, seen.steps * groups_);
  for (std::size_t layer = 0; layer < tokens.size(); ++layer) {
    problem.layers[layer].tokens = tokens[layer];
  }
  return problem;
}

double Rebalancing::predicted_expert_seconds(const Placement& placement) const {
  if (!problem_.cluster) return 0;
  const Window& seen = window_.steps > 0 ? window_ : earlier_;
  const StepSeconds step = predict_step(seen.steps > 0 ? problem_under(seen) : problem_, placement);
  return step.compute + step.exchange;
}

RebalanceQuestion Rebalancing::question(std::int64_t step, const Placement& current) const {
  RebalanceQuestion question;
  question.problem = problem_under(window_);
  question.problem.current = current;
  question.earlier_tokens = mean_loads(earlier_.steps > 0 ? earlier_.tokens : window_.tokens,
                                       (earlier_.steps > 0 ? earlier_ : window_).steps * groups_);
  question.groups = groups_;
  question.strategy = plan_strategy_of(config_.placement.strategy);
  question.seconds_per_token_unit =
      window_.token_units > 0 ? window_.expert_seconds / window_.token_units : 0;
  const std::int64_t left = config_.train.steps - step;
  const std::int64_t every = config_.placement.every;
  question.steps_until_next_look = every > 0 ? std::min(every, left) : left;
  question.move = price_;
  return question;
}

RebalanceAnswer Rebalancing::decide(std::int64_t step, const Placement& current) {
  const double begin = clock_.monotonic_seconds();
  RebalanceAnswer answer = decide_rebalance(question(step, current));
  record_ = {.predicted_gain_seconds = answer.gain_seconds,
             .predicted_moving_seconds = answer.moving_seconds,
             .planning_seconds = clock_.monotonic_seconds() - begin,
             .moving_bytes = answer.moving_bytes,
             .flops_max_over_mean_before = answer.flops_max_over_mean_before,
             .flops_max_over_mean_after = answer.flops_max_over_mean_after};
  return answer;
}

std::optional<Plan> Rebalancing::look(std::int64_t step, const Placement& current) {
  std::string text;
  collectively(control_, [&] {
    if (control_.rank() != 0) return;
    const RebalanceAnswer answer = decide(step, current);
    if (answer.moves) text = write_plan(answer.plan);
  });
  text = broadcast_text(control_, std::move(text), 0);
  if (!text.empty()) {
    gain_ = {.moved_after_step = step, .predicted_gain_seconds = record_.predicted_gain_seconds};
    seconds_before_ = median(window_.step_seconds);
  }
  earlier_ = std::exchange(window_, {});
  has_looked_ = true;
  if (text.empty()) return {};
  return read_plan(text);
}

RebalanceRecord Rebalancing::moved(double seconds) {
  std::array<double, 1> slowest = {seconds};
  control_.all_reduce(buffer_of(std::span<double>(slowest)), Reduction::kMax).wait();
  record_.moving_seconds = slowest[0];
  if (record_.moving_seconds > 0 && record_.predicted_moving_seconds > 0) {
    const double learned =
        price_.factor * record_.moving_seconds / record_.predicted_moving_seconds;
    price_.factor = std::clamp(learned, 1 / kMostLearned, kMostLearned);
  }
  return record_;
}

std::optional<RebalanceGain> Rebalancing::take_gain() {
  if (!gain_ || window_.steps == 0) return {};
  gain_->measured_steps = window_.steps;
  gain_->measured_gain_seconds = seconds_before_ - median(window_.step_seconds);
  return std::exchange(gain_, std::nullopt);
}

}  // namespace hetmoe
