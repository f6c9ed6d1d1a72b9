#include <array>
#include <utility>

#include "runtime/report/chart/colour.h"
#include "runtime/report/chart/line_chart.h"
#include "runtime/report/page/sections.h"
#include "runtime/report/page/series.h"

namespace hetmoe {
namespace {

Html loss_figure(const RunStory& story) {
  const std::vector<Point> points = points_of(story, &StoryStep::loss);
  LineChart chart{.name = "Loss by step",
                  .x = step_axis(),
                  .y = axis_of("nats per token"),
                  .series = smoothed("training", category_class(0), points),
                  .marks = marks_of(story)};
  Figure shown{.title = "Loss", .legend = {{category_class(0), "training"}}};
  if (!story.evaluations.empty()) {
    Series held_out{.name = "held out", .colour = category_class(1), .style = LineStyle::kDots};
    for (const StoryEvaluation& evaluation : story.evaluations)
      held_out.points.push_back({static_cast<double>(evaluation.step), evaluation.loss});
    chart.series.push_back(std::move(held_out));
    shown.legend.push_back({category_class(1), "held out"});
  }
  shown.picture = line_chart_svg(chart);
  shown.note = "Language modelling only. Dashed: a rebalance or a restart.";
  if (story.rebalances.empty() && story.starts.size() < 2) shown.note = "Language modelling only.";
  return figure(shown);
}

/// A figure of these lines; nothing where no line gives the number.
Html one_number(const RunStory& story, StepNumber number, Figure shown, const Axis& y,
                std::vector<Series> lines) {
  if (!has_any(story, number)) return "";
  shown.picture = line_chart_svg({.name = shown.title + " by step",
                                  .x = step_axis(),
                                  .y = y,
                                  .series = std::move(lines),
                                  .marks = marks_of(story)});
  return figure(shown);
}

/// A schedule has corners, which a mean would cut.
Html learning_rate_figure(const RunStory& story) {
  return one_number(
      story, &StoryStep::learning_rate, {.title = "Learning rate"}, axis_from_zero(""),
      {{"learning rate", category_class(0), points_of(story, &StoryStep::learning_rate)}});
}

Html gradient_figure(const RunStory& story) {
  return one_number(
      story, &StoryStep::grad_norm,
      {.title = "Gradient norm", .note = "Before clipping; logarithmic."}, logarithmic_axis(""),
      smoothed("gradient norm", category_class(0), points_of(story, &StoryStep::grad_norm)));
}

Html auxiliary_figure(const RunStory& story) {
  struct Term {
    const char* name;
    StepNumber number;
  };
  constexpr std::array kTerms = {Term{"parameter penalty", &StoryStep::parameter_penalty},
                                 Term{"load balance", &StoryStep::load_balance},
                                 Term{"router entropy", &StoryStep::router_entropy}};
  LineChart chart{.name = "Auxiliary terms by step",
                  .x = step_axis(),
                  .y = axis_of("unweighted, summed over layers")};
  Figure shown{.title = "Auxiliary terms of the router"};
  for (std::size_t i = 0; i < kTerms.size(); ++i) {
    if (!has_any(story, kTerms[i].number)) continue;
    const std::string colour = category_class(static_cast<int>(i));
    for (Series& series : smoothed(kTerms[i].name, colour, points_of(story, kTerms[i].number)))
      chart.series.push_back(std::move(series));
    shown.legend.push_back({colour, kTerms[i].name});
  }
  if (chart.series.empty()) return "";
  shown.picture = line_chart_svg(chart);
  return figure(shown);
}

}  // namespace

Html training_part(const RunStory& story) {
  if (story.steps.empty() && story.evaluations.empty()) return "";
  const Html figures = loss_figure(story) + learning_rate_figure(story) + gradient_figure(story) +
                       auxiliary_figure(story);
  return section("Training", side_by_side(figures));
}

}  // namespace hetmoe
