#include "runtime/report/simulation_svg.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <span>
#include <vector>

#include "runtime/report/chart/axis.h"
#include "runtime/report/chart/svg_text.h"
#include "runtime/report/quantity_text.h"

namespace hetmoe {
namespace {

constexpr int kMostSingleBars = 256;
constexpr int kBins = 128;
constexpr int kLeastTicks = 4;

constexpr double kWidth = 960, kLeft = 76, kRight = 24;
constexpr double kHeading = 58, kLegend = 30, kPanelTitle = 30, kPanel = 190, kRankAxis = 46;

/// What a bar stacks, from below; colours tell apart for the colour-blind too.
struct StackedPart {
  const char* name;
  const char* colour;
  double (*seconds)(const SimulatedRank&);
};
constexpr std::array kStack = {
    StackedPart{"attention and dense", "#0072b2",
                [](const SimulatedRank& r) { return r.busy.dense; }},
    StackedPart{"experts", "#e69f00", [](const SimulatedRank& r) { return r.busy.expert; }},
    StackedPart{"dispatch", "#56b4e9", [](const SimulatedRank& r) { return r.busy.dispatch; }},
    StackedPart{"combine", "#009e73", [](const SimulatedRank& r) { return r.busy.combine; }},
    StackedPart{"gradients and parameters", "#cc79a7",
                [](const SimulatedRank& r) { return r.busy.gradients + r.busy.parameters; }},
    StackedPart{"optimizer", "#d55e00", [](const SimulatedRank& r) { return r.busy.optimizer; }},
    StackedPart{"waiting", "#9a9a9a", [](const SimulatedRank& r) { return r.waiting; }},
};

/// One bar: the mean of some ranks.
struct Bar {
  std::string label;
  std::array<double, kStack.size()> seconds{};
};

template <typename... Values>
std::string format(const char* pattern, Values... values) {
  std::array<char, 512> text{};
  std::snprintf(text.data(), text.size(), pattern, values...);
  return text.data();
}

Bar mean_bar(const std::vector<SimulatedRank>& ranks, std::span<const std::size_t> members) {
  Bar bar;
  for (const std::size_t rank : members) {
    for (std::size_t part = 0; part < kStack.size(); ++part)
      bar.seconds[part] += kStack[part].seconds(ranks[rank]) / static_cast<double>(members.size());
  }
  bar.label = members.size() == 1 ? "rank " + std::to_string(members.front())
                                  : "mean of " + std::to_string(members.size()) +
                                        " ranks, such as " + std::to_string(members.front());
  return bar;
}

std::vector<Bar> bars_of(const std::vector<SimulatedRank>& ranks) {
  std::vector<std::size_t> order(ranks.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto count = static_cast<std::size_t>(simulation_svg_bars(static_cast<int>(ranks.size())));
  if (count < ranks.size()) {
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return ranks[a].waiting < ranks[b].waiting;
    });
  }
  std::vector<Bar> bars;
  for (std::size_t bar = 0; bar < count; ++bar) {
    const std::size_t begin = bar * ranks.size() / count, end = (bar + 1) * ranks.size() / count;
    bars.push_back(mean_bar(ranks, std::span(order).subspan(begin, end - begin)));
  }
  return bars;
}

/// Seconds of the axis in one unit, digits enough to tell ticks apart.
struct AxisUnit {
  const char* name;
  double per_second;
};
AxisUnit unit_of(double highest) {
  if (highest >= 1) return {"s", 1};
  return highest >= 1e-3 ? AxisUnit{"ms", 1e3} : AxisUnit{"us", 1e6};
}

std::string text_at(double x, double y, const char* css_class, const std::string& text) {
  return format("<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, css_class) + escaped(text) +
         "</text>\n";
}

std::string bar_svg(const Bar& bar, double x, double width, double bottom, double per_second) {
  std::string tip = bar.label;
  std::string boxes;
  double y = bottom;
  for (std::size_t part = 0; part < kStack.size(); ++part) {
    tip += std::string("\n") + kStack[part].name + " " + short_duration_text(bar.seconds[part]);
    const double height = bar.seconds[part] * per_second;
    if (height <= 0) continue;
    y -= height;
    boxes += format("<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\"%s/>", x,
                    y, width, height, kStack[part].colour,
                    part + 1 == kStack.size() ? " fill-opacity=\"0.3\"" : "");
  }
  return "<g class=\"bar\"><title>" + escaped(tip) + "</title>" + boxes + "</g>\n";
}

std::string legend(double y) {
  std::string svg;
  double x = kLeft;
  for (const StackedPart& part : kStack) {
    const bool is_waiting = &part == &kStack.back();
    svg += format("<rect x=\"%.1f\" y=\"%.1f\" width=\"12\" height=\"12\" fill=\"%s\"%s/>", x,
                  y - 10, part.colour, is_waiting ? " fill-opacity=\"0.3\"" : "");
    svg += text_at(x + 17, y, "small", part.name);
    x += 36 + 6.7 * static_cast<double>(std::string(part.name).size());
  }
  return svg;
}

/// The vertical axis of a panel: lines across it, seconds beside them.
std::string seconds_axis(double top, double highest) {
  const double bottom = top + kPanel;
  const AxisUnit unit = unit_of(highest);
  const double tick = round_distance(highest, kLeastTicks);
  const int digits =
      std::max(0, -static_cast<int>(std::floor(std::log10(tick * unit.per_second) + 1e-9)));
  std::string svg;
  for (int i = 0; i * tick <= highest * 1.0001; ++i) {
    const double y = bottom - i * tick / highest * kPanel;
    svg += format("<line x1=\"%.1f\" y1=\"%.2f\" x2=\"%.1f\" y2=\"%.2f\" class=\"grid\"/>", kLeft,
                  y, kWidth - kRight, y);
    svg += text_at(kLeft - 8, y + 4, "tick", fixed_text(i * tick * unit.per_second, digits));
  }
  return svg +
         format("<text transform=\"translate(18 %.1f) rotate(-90)\" class=\"axis\">",
                top + kPanel / 2) +
         "step time (" + unit.name + ")</text>\n";
}

std::string rank_axis(double top, std::size_t ranks, std::size_t bars) {
  const double bottom = top + kPanel, plot = kWidth - kLeft - kRight;
  const double middle = kLeft + plot / 2;
  if (bars < ranks)
    return text_at(middle, bottom + 20, "axis",
                   "ranks from the busiest to the idlest, about " +
                       std::to_string((ranks + bars / 2) / bars) + " in a bar");
  std::string svg;
  const std::size_t every = (bars + 15) / 16;
  for (std::size_t bar = 0; bar < bars; bar += every)
    svg += text_at(kLeft + plot * (static_cast<double>(bar) + 0.5) / static_cast<double>(bars),
                   bottom + 16, "middle", std::to_string(bar));
  return svg + text_at(middle, bottom + 34, "axis", "rank");
}

std::string panel(const SimulatedPlacement& placement, double top, double highest) {
  const Simulation& simulation = placement.simulation;
  const std::vector<Bar> bars = bars_of(simulation.ranks);
  const double slot = (kWidth - kLeft - kRight) / static_cast<double>(bars.size());
  const double width = std::min(slot * (bars.size() > 64 ? 1.0 : 0.8), 90.0);
  const double plot_top = top + kPanelTitle;
  std::string svg =
      text_at(kLeft, top + kPanelTitle - 10, "panel",
              placement.name + ": " + short_duration_text(simulation.step_seconds()) + " a step, " +
                  count_text(simulation.tokens_per_second()) + " tokens/s");
  svg += seconds_axis(plot_top, highest);
  for (std::size_t i = 0; i < bars.size(); ++i)
    svg += bar_svg(bars[i], kLeft + slot * static_cast<double>(i) + (slot - width) / 2, width,
                   plot_top + kPanel, kPanel / highest);
  return svg + rank_axis(plot_top, simulation.ranks.size(), bars.size());
}

constexpr const char* kStyle =
    "<style>text{font:12px system-ui,sans-serif;fill:#333}.title{font-size:17px;font-weight:600}"
    ".panel{font-size:13px;font-weight:600}.tick{text-anchor:end;fill:#666}"
    ".middle,.axis{text-anchor:middle;fill:#666}.small{font-size:12px}"
    ".grid{stroke:#888;stroke-opacity:.35;stroke-width:.7}"
    ".bar rect{shape-rendering:crispEdges}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.tick,.middle,.axis{fill:#aaa}}</style>\n";

}  // namespace

int simulation_svg_bars(int ranks) { return ranks > kMostSingleBars ? kBins : ranks; }

std::string simulation_svg(const SimulationReport& report) {
  std::vector<const SimulatedPlacement*> shown = {&report.unbalanced()};
  if (report.placements.size() > 1) shown.push_back(&report.balanced());
  double highest = 0;
  for (const SimulatedPlacement* placement : shown)
    highest = std::max(highest, placement->simulation.step_seconds());
  const double first = kHeading + kLegend, each = kPanelTitle + kPanel + kRankAxis;
  const double height = first + each * static_cast<double>(shown.size());
  const std::string title = "Time of each rank in a step: " + report.config_name + ", " +
                            report.workload + ", " + std::to_string(report.world.ranks()) +
                            " ranks";
  std::string svg = format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" "
      "height=\"%.0f\" role=\"img\">\n",
      kWidth, height, kWidth, height);
  svg += "<title>" + escaped(title) + "</title>\n" + kStyle;
  svg += text_at(kLeft, 26, "title", title);
  svg += text_at(kLeft, 46, "small",
                 report.cluster.name + ", expert groups of " +
                     std::to_string(report.world.expert_group_size) + ", predicted");
  svg += legend(kHeading + 16);
  for (std::size_t i = 0; i < shown.size(); ++i)
    svg += panel(*shown[i], first + each * static_cast<double>(i), highest);
  return svg + "</svg>\n";
}

}  // namespace hetmoe
