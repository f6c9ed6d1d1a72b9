#include <cmath>
#include <cstdlib>

#include "runtime/report/chart/colour.h"
#include "runtime/report/chart/svg_text.h"
#include "runtime/report/page/sections.h"
#include "runtime/report/page/series.h"
#include "runtime/report/quantity_text.h"

namespace hetmoe {
namespace {

std::string state_class(RunState state) {
  switch (state) {
    case RunState::kRunning:
      return category_class(0);
    case RunState::kFinished:
      return category_class(2);
    case RunState::kStopped:
      return category_class(4);
    case RunState::kFailed:
    case RunState::kLost:
      break;
  }
  return category_class(1);
}

std::string widths_text(const std::vector<std::int64_t>& widths) {
  constexpr std::size_t most = 16;
  std::string text;
  for (std::size_t i = 0; i < widths.size() && i < most; ++i)
    text += (i == 0 ? "" : ", ") + std::to_string(widths[i]);
  return text + (widths.size() > most ? ", ..." : "");
}

/// "4 layers of hidden size 128, 8 experts of width 72, ...": what the configuration says of it.
std::string model_text(const RunStory& story) {
  const auto value = [&](const char* key) { return story.config_value(key); };
  std::string text;
  if (!value("model.num_layers").empty())
    text += value("model.num_layers") + " layers of hidden size " + value("model.hidden_size") +
            ", vocabulary " + value("model.vocab_size") + "; ";
  if (!story.widths.empty())
    text += std::to_string(story.widths.size()) + " experts of width " + widths_text(story.widths) +
            "; ";
  if (value("model.router.kind") == "top_k")
    text += "top-" + value("model.router.top_k") + " routing";
  if (value("model.router.kind") == "top_p")
    text += "top-p routing, p = " + value("model.router.top_p");
  const std::string forced = value("model.router.forced");
  if (!forced.empty() && forced != "none") text += ", forced by workload " + forced;
  if (value("model.hyper.enabled") == "true") text += ", with a generated expert";
  return text;
}

std::string world_text(const RunStory& story) {
  std::string text;
  if (story.ranks() > 0) text = std::to_string(story.ranks()) + " ranks";
  if (!story.starts.empty()) {
    const StoryStart& last = story.starts.back();
    if (!last.precision.empty()) text += ", " + last.precision;
    if (std::isfinite(story.starts.front().time))
      text += ", started " + clock_text(story.starts.front().time) + " UTC";
  }
  return text;
}

std::vector<Tile> tiles_of(const RunStory& story) {
  std::vector<Tile> tiles;
  const std::string asked = story.config_value("train.steps");
  if (!story.steps.empty()) {
    const StoryStep& last = story.steps.back();
    tiles.push_back({std::to_string(last.step), "steps", asked.empty() ? "" : "of " + asked});
    tiles.push_back({amount_text(last.tokens), "tokens", ""});
    tiles.push_back({decimals_text(last.loss, 3), "training loss", "nats per token"});
  }
  if (!story.evaluations.empty()) {
    const StoryEvaluation& last = story.evaluations.back();
    tiles.push_back({decimals_text(last.loss, 3), "held-out loss",
                     last.bits_per_byte > 0 ? fixed_text(last.bits_per_byte, 3) + " bits per byte"
                                            : "at step " + std::to_string(last.step)});
  }
  if (!story.steps.empty()) {
    tiles.push_back(
        {amount_text(median_of(story, &StoryStep::tokens_per_second)), "tokens/s", "median"});
    tiles.push_back({decimals_text(mean_of(story, &StoryStep::flops_max_over_mean), 3), "balance",
                     "max/mean of ranks"});
  }
  if (has_any(story, &StoryStep::memory_bytes)) {
    const auto memory = values_of(story, &StoryStep::memory_bytes);
    tiles.push_back({size_text(memory.back()), "peak memory", "largest rank"});
  }
  if (story.history.wall_seconds > 0)
    tiles.push_back(
        {time_text(story.history.wall_seconds), "wall time",
         story.history.starts > 1 ? std::to_string(story.history.starts) + " starts" : ""});
  if (const auto ratio = story.history.effective_time_ratio())
    tiles.push_back({share_text(*ratio), "effective time", "in steps that count"});
  return tiles;
}

Html notes_of(const RunStory& story) {
  if (story.passed_over.empty()) return "";
  Html html = "<div class=\"card note\"><p>Passed over:</p>";
  for (const std::string& text : story.passed_over) html += paragraph(text);
  return html + "</div>\n";
}

}  // namespace

Html head_part(const RunStory& story) {
  const std::string model = model_text(story), world = world_text(story);
  return "<header><p class=\"kind\">hetmoe run</p><h1>" + escaped(story.name) +
         "</h1>\n<p><span "
         "class=\"state " +
         state_class(story.state) + "\">" + std::string(run_state_name(story.state)) + "</span>" +
         escaped(story.state_reason) + "</p>\n" + (world.empty() ? "" : paragraph(world)) +
         (model.empty() ? "" : paragraph(model)) + "</header>\n" + notes_of(story) +
         tiles(tiles_of(story));
}

}  // namespace hetmoe
