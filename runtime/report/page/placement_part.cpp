#include <algorithm>
#include <cstddef>
#include <map>
#include <numeric>
#include <set>

#include "runtime/report/chart/colour.h"
#include "runtime/report/chart/filled_rows.h"
#include "runtime/report/page/expert_loads.h"
#include "runtime/report/page/sections.h"
#include "runtime/report/page/series.h"
#include "runtime/report/quantity_text.h"

namespace hetmoe {
namespace {

constexpr std::size_t kMostSingleRows = 48;  ///< a row for each rank and layer, up to so many
constexpr std::size_t kMostRanks = 64;

/// What a rank holds of an expert.
struct Held {
  double size = 0;
  std::string rows;  ///< "rows 0 to 72", "24 slices"
};
using Holding = std::map<int, Held>;  ///< by expert

/// Size of a slice: its rows, or its FLOPs.
using Weight = double (*)(const PlacedSlice&, const std::vector<double>& shares);

double rows_of(const PlacedSlice& slice, const std::vector<double>&) {
  return static_cast<double>(slice.width());
}

double flops_of(const PlacedSlice& slice, const std::vector<double>& shares) {
  const auto expert = static_cast<std::size_t>(slice.expert);
  if (expert >= shares.size()) return 0;
  return shares[expert] * slice.share * static_cast<double>(slice.width());
}

struct Drawing {
  const RunStory& story;
  std::vector<double> shares;
  std::vector<std::string> colours;
  std::size_t ranks = 0;
  bool single_layers = false;
};

Drawing drawing_of(const RunStory& story) {
  Drawing drawing{.story = story, .shares = {}, .colours = {}};
  std::size_t experts = story.widths.size();
  for (const LayerPlacement& layer : story.plan->placement.layers) {
    for (const PlacedSlice& slice : layer.slices) {
      drawing.ranks = std::max(drawing.ranks, static_cast<std::size_t>(slice.rank) + 1);
      experts = std::max(experts, static_cast<std::size_t>(slice.expert) + 1);
    }
  }
  drawing.colours = expert_colours(story.widths, experts);
  const std::size_t end = story.steps.size();
  drawing.shares = expert_shares(story, end - std::min<std::size_t>(end, 20), end);
  drawing.single_layers = drawing.ranks * story.plan->placement.layers.size() <= kMostSingleRows;
  return drawing;
}

/// Of all ranks in these layers.
std::vector<Holding> holdings(const Drawing& drawing, std::size_t begin, std::size_t end,
                              Weight weight) {
  std::vector<Holding> held(drawing.ranks);
  for (std::size_t layer = begin; layer < end; ++layer) {
    for (const PlacedSlice& slice : drawing.story.plan->placement.layers[layer].slices) {
      Held& part = held[static_cast<std::size_t>(slice.rank)][slice.expert];
      part.size += weight(slice, drawing.shares);
      if (end - begin == 1)
        part.rows += (part.rows.empty() ? "rows " : ", ") + std::to_string(slice.begin) + " to " +
                     std::to_string(slice.end);
    }
  }
  return held;
}

FilledRow row_of(const Drawing& drawing, const Holding& holding, const std::string& name,
                 double unit) {
  FilledRow row{.name = name};
  for (const auto& [expert, held] : holding) {
    const auto index = static_cast<std::size_t>(expert);
    std::string tip = "expert " + std::to_string(expert);
    if (index < drawing.story.widths.size())
      tip += " of width " + std::to_string(drawing.story.widths[index]);
    if (!held.rows.empty()) tip += "\n" + held.rows;
    row.parts.push_back({.size = held.size / unit,
                         .colour = drawing.colours[index],
                         .name = tip,
                         .label = std::to_string(expert)});
  }
  return row;
}

double size_of(const Holding& holding) {
  double size = 0;
  for (const auto& [expert, held] : holding) size += held.size;
  return size;
}

/// All ranks, or of many those that hold the most.
std::vector<std::size_t> shown_ranks(const std::vector<Holding>& whole) {
  std::vector<std::size_t> ranks(whole.size());
  std::iota(ranks.begin(), ranks.end(), std::size_t{0});
  if (ranks.size() <= kMostRanks) return ranks;
  std::stable_sort(ranks.begin(), ranks.end(), [&](std::size_t a, std::size_t b) {
    return size_of(whole[a]) > size_of(whole[b]);
  });
  ranks.resize(kMostRanks);
  std::sort(ranks.begin(), ranks.end());
  return ranks;
}

/// `unit`: what a size is divided by; 0: the sum of all.
Html rows_svg(const Drawing& drawing, Weight weight, FilledRows chart, bool as_share,
              bool single_layers) {
  const std::size_t layers = drawing.story.plan->placement.layers.size();
  const std::vector<Holding> whole = holdings(drawing, 0, layers, weight);
  double unit = 1;
  if (as_share)
    unit = std::transform_reduce(whole.begin(), whole.end(), 0.0, std::plus<>(), size_of);
  if (!(unit > 0)) return "";
  std::vector<std::vector<Holding>> parts;
  for (std::size_t layer = 0; single_layers && layer < layers; ++layer)
    parts.push_back(holdings(drawing, layer, layer + 1, weight));
  if (!single_layers) parts.push_back(whole);
  for (const std::size_t rank : shown_ranks(whole)) {
    for (std::size_t part = 0; part < parts.size(); ++part)
      chart.rows.push_back(row_of(drawing, parts[part][rank],
                                  part == 0 ? "rank " + std::to_string(rank) : "", unit));
  }
  const double most = parts.size() > 4 ? 11 : 16;
  chart.row_height = std::clamp(320 / static_cast<double>(chart.rows.size()), 5.0, most);
  return filled_rows_svg(chart);
}

std::string size_words(const Drawing& drawing) {
  const Plan& plan = *drawing.story.plan;
  std::size_t slices = 0;
  for (const LayerPlacement& layer : plan.placement.layers) slices += layer.slices.size();
  std::string words = std::to_string(slices) + " slices in " +
                      std::to_string(plan.placement.layers.size()) +
                      " layers; the fullest rank holds " +
                      fixed_text(plan.memory_max_over_mean, 3) + " of the mean. ";
  if (drawing.ranks > kMostRanks)
    words += "Of " + std::to_string(drawing.ranks) + " ranks the " + std::to_string(kMostRanks) +
             " that hold the most. ";
  return words;
}

std::vector<LegendEntry> legend_of(const Drawing& drawing) {
  constexpr std::size_t most = 16;
  std::vector<LegendEntry> legend;
  const std::vector<std::int64_t>& widths = drawing.story.widths;
  const std::vector<std::size_t> order = by_width(widths, drawing.colours.size());
  if (order.size() > most)
    return {{drawing.colours[order.front()], "narrowest expert"},
            {drawing.colours[order[order.size() / 2]], "middle"},
            {drawing.colours[order.back()], "widest"}};
  for (const std::size_t expert : order) {
    const std::string name = std::to_string(expert);
    legend.push_back(
        {drawing.colours[expert],
         expert < widths.size() ? name + ": width " + std::to_string(widths[expert]) : name});
  }
  return legend;
}

}  // namespace

Html placement_part(const RunStory& story) {
  if (!story.plan) return "";
  const Drawing drawing = drawing_of(story);
  if (drawing.ranks == 0) return "";
  Figure rows{.title = "What each rank holds",
              .note = size_words(drawing) +
                      (drawing.single_layers ? "A line for each layer." : "All layers together."),
              .legend = legend_of(drawing)};
  rows.picture =
      rows_svg(drawing, rows_of,
               {.name = "Rows of experts by rank",
                .x = axis_of(drawing.single_layers ? "hidden units of a layer" : "hidden units")},
               false, drawing.single_layers);
  Figure flops{.title = "What each rank computes",
               .note =
                   "Expert FLOPs under the load of the last steps, all layers together, taken "
                   "as if their loads were alike.",
               .legend = rows.legend};
  if (!drawing.shares.empty())
    flops.picture = rows_svg(drawing, flops_of,
                             {.name = "Expert FLOPs by rank",
                              .x = axis_from_zero("of all expert FLOPs", Quantity::kRatio)},
                             true, false);
  return section("Placement", side_by_side(figure(rows) + figure(flops)));
}

}  // namespace hetmoe
