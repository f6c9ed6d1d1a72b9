#include "launcher/sweep/compared_runs.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/median.h"
#include "core/model/parameter_specs.h"
#include "runtime/run_config.h"

namespace hetmoe {
namespace {

/// Hidden units that a token meets in a layer, mean over the last tenth of the steps; NaN: unknown.
double selected_width(const RunStory& story, const RunConfig& config) {
  const std::vector<std::int64_t> widths = expert_widths(config.model.experts);
  const std::size_t first = story.steps.size() - (story.steps.size() + 9) / 10;
  double units = 0;
  for (std::size_t i = first; i < story.steps.size(); ++i) {
    const std::vector<double>& tokens = story.steps[i].expert_tokens;
    if (tokens.size() != widths.size()) return kUnknown;
    for (std::size_t expert = 0; expert < widths.size(); ++expert)
      units += tokens[expert] * static_cast<double>(widths[expert]);
  }
  const double tokens_of_step = static_cast<double>(config.train.global_batch) *
                                static_cast<double>(config.train.sequence_length);
  const double steps = static_cast<double>(story.steps.size() - first);
  return units / (steps * tokens_of_step * config.model.num_layers);
}

double measured_active_parameters(const RunStory& story,
                                  const std::filesystem::path& run_directory) {
  if (story.steps.empty()) return kUnknown;
  try {
    const RunConfig config = load_run_config((run_directory / "config.yaml").string(), {});
    const double width = selected_width(story, config);
    return std::isfinite(width) ? static_cast<double>(active_parameters(config.model, width))
                                : kUnknown;
  } catch (const Error&) {
    return kUnknown;  // a report shows what there is
  }
}

double median_rate(const RunStory& story) {
  std::vector<double> rates;
  for (const StoryStep& step : story.steps) {
    if (std::isfinite(step.tokens_per_second)) rates.push_back(step.tokens_per_second);
  }
  return rates.empty() ? kUnknown : median(std::move(rates));
}

}  // namespace

ComparedRun compared_run(const RunStory& story, const std::filesystem::path& run_directory) {
  ComparedRun run{.name = story.name,
                  .state = std::string(run_state_name(story.state)),
                  .steps = story.steps.empty() ? 0 : story.steps.back().step,
                  .tokens_per_second = median_rate(story),
                  .active_parameters = measured_active_parameters(story, run_directory)};
  if (!story.evaluations.empty()) {
    run.held_out_loss = story.evaluations.back().loss;
    run.bits_per_byte = story.evaluations.back().bits_per_byte;
  }
  return run;
}

}  // namespace hetmoe
