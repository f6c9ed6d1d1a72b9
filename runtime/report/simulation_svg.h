#pragma once

#include <string>

#include "runtime/report/simulation_report.h"

namespace hetmoe {

/// A picture of each rank's step, contiguous placement above the asked one at the same scale: one
/// bar per rank, its parts and its waiting stacked. Of more than 256 ranks a bar is the mean of
/// ranks that are neighbours by busy time. Self-contained SVG for light and dark pages; details
/// appear when pointing at a bar.
std::string simulation_svg(const SimulationReport& report);

/// Bars of one placement in the picture.
int simulation_svg_bars(int ranks);

}  // namespace hetmoe
