#include "runtime/report/chart/colour.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace hetmoe {
namespace {

// Okabe and Ito's eight, put in an order in which neighbours differ most, and two more. On a dark
// page the deep ones are lightened. Source: jfly.uni-koeln.de/color
constexpr std::array<const char*, kCategoryColours> kLight = {
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00",
    "#56b4e9", "#7a5195", "#c9b800", "#8c8c8c", "#5b3a1e"};
constexpr std::array<const char*, kCategoryColours> kDark = {
    "#4aa3df", "#f0803c", "#2fc49a", "#dd94bd", "#f0b429",
    "#8fd0f5", "#a98bd0", "#f0e442", "#a6a6a6", "#b98b66"};

// Stops of the viridis map (public domain, CC0), less the end that a page of that colour swallows.
constexpr std::array<const char*, kRampColours> kLightRamp = {
    "#440154", "#481a6c", "#472f7d", "#414487", "#39568c", "#31688e",
    "#2a788e", "#23888e", "#1f988b", "#22a884", "#35b779", "#7ac143"};
constexpr std::array<const char*, kRampColours> kDarkRamp = {
    "#5a5fb8", "#39689c", "#31789a", "#2a888e", "#239889", "#22a884",
    "#35b779", "#54c568", "#7ad151", "#a5db36", "#d2e21b", "#fde725"};

template <std::size_t kCount>
std::string variables(const char* prefix, const std::array<const char*, kCount>& colours) {
  std::string css;
  for (std::size_t i = 0; i < kCount; ++i)
    css += std::string("--") + prefix + std::to_string(i) + ":" + colours[i] + ";";
  return css;
}

std::string classes(const char* prefix, int count) {
  std::string css;
  for (int i = 0; i < count; ++i) {
    const std::string name = prefix + std::to_string(i);
    css += "." + name + "{--k:var(--" + name + ")}";
  }
  return css;
}

constexpr const char* kShapes =
    ".chart{display:block;width:100%;height:auto}"
    ".chart text{font:11px system-ui,sans-serif;fill:var(--quiet)}"
    ".chart .end{text-anchor:end}.chart .middle{text-anchor:middle}.chart .name{fill:var(--ink)}"
    ".grid{stroke:var(--line);stroke-width:.6}"
    ".base{stroke:var(--quiet);stroke-width:.8}"
    ".mark{stroke:var(--quiet);stroke-width:.8;stroke-dasharray:3 3}"
    ".line{fill:none;stroke:var(--k);stroke-width:1.5;stroke-linejoin:round}"
    ".faint{fill:none;stroke:var(--k);stroke-width:1;stroke-opacity:.35}"
    ".dot,.box{fill:var(--k)}"
    ".chart .onbox{fill:#fff;paint-order:stroke;stroke:#000a;stroke-width:2px;font-size:10px}"
    ".cut{stroke:var(--paper);stroke-width:.6}";

}  // namespace

std::string category_class(int index) { return "c" + std::to_string(index % kCategoryColours); }

std::string ramp_class(double place) {
  const double bounded = std::isfinite(place) ? std::clamp(place, 0.0, 1.0) : 0;
  return "r" + std::to_string(std::lround(bounded * (kRampColours - 1)));
}

std::string chart_style() {
  return ":root{" + variables("c", kLight) + variables("r", kLightRamp) + "}" +
         "@media(prefers-color-scheme:dark){:root{" + variables("c", kDark) +
         variables("r", kDarkRamp) + "}}" + classes("c", kCategoryColours) +
         classes("r", kRampColours) + kShapes;
}

}  // namespace hetmoe
