#include "runtime/report/page/expert_loads.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "runtime/report/chart/colour.h"

namespace hetmoe {
namespace {

void divide(std::vector<double>& values, double by) {
  for (double& value : values) value /= by;
}

void add(std::vector<double>& sum, const std::vector<double>& values) {
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += values[i];
}

}  // namespace

std::size_t num_experts(const RunStory& story) {
  for (auto step = story.steps.rbegin(); step != story.steps.rend(); ++step) {
    if (!step->expert_tokens.empty()) return step->expert_tokens.size();
  }
  return 0;
}

std::vector<double> expert_shares(const RunStory& story, std::size_t begin, std::size_t end) {
  std::vector<double> shares(num_experts(story));
  for (std::size_t i = begin; i < end; ++i) {
    if (story.steps[i].expert_tokens.size() == shares.size())
      add(shares, story.steps[i].expert_tokens);
  }
  const double all = std::reduce(shares.begin(), shares.end());
  if (!(all > 0)) return {};
  divide(shares, all);
  return shares;
}

std::vector<double> rank_flops(const RunStory& story, const StepWindow& window) {
  std::vector<const StoryStep*> steps;
  for (const StoryStep& step : story.steps) {
    if (step.step > window.after && step.step <= window.to && !step.rank_expert_flops.empty())
      steps.push_back(&step);
  }
  if (steps.size() > window.most) {
    const auto extra = static_cast<std::ptrdiff_t>(steps.size() - window.most);
    window.near_the_end ? steps.erase(steps.begin(), steps.begin() + extra)
                        : steps.erase(steps.end() - extra, steps.end());
  }
  if (steps.empty()) return {};
  std::vector<double> mean(steps.front()->rank_expert_flops.size());
  for (const StoryStep* step : steps) {
    if (step->rank_expert_flops.size() != mean.size()) return {};
    add(mean, step->rank_expert_flops);
  }
  divide(mean, static_cast<double>(steps.size()));
  return mean;
}

std::vector<std::size_t> by_width(const std::vector<std::int64_t>& widths, std::size_t count) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (widths.size() == count)
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return widths[a] < widths[b]; });
  return order;
}

std::vector<std::string> expert_colours(const std::vector<std::int64_t>& widths,
                                        std::size_t count) {
  std::vector<std::string> colours(count);
  const std::vector<std::size_t> order = by_width(widths, count);
  for (std::size_t place = 0; place < count; ++place)
    colours[order[place]] =
        ramp_class(count < 2 ? 0 : static_cast<double>(place) / static_cast<double>(count - 1));
  return colours;
}

}  // namespace hetmoe
