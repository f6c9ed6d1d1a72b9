#pragma once

#include <string>
#include <vector>

#include "runtime/report/story/run_story.h"

namespace hetmoe {

/// Runs that are compared in one page; of more than kMostDetailedRuns only the comparison is shown,
/// and drawn are as many as there are colours.
inline constexpr std::size_t kMostRuns = 100;
inline constexpr std::size_t kMostDetailedRuns = 3;

/// One self-contained HTML page about 1 to kMostRuns runs: it asks for nothing from anywhere, and
/// tells all it has without its script. Whatever stands in the files of a run is shown as text.
std::string report_page(const std::vector<RunStory>& stories, double wall_seconds_now);

}  // namespace hetmoe
