#pragma once

#include <span>
#include <string>

#include "runtime/report/simulation_report.h"

namespace hetmoe {

/// A simulated case for people: the parts of the step, speed and memory, one column per placement.
/// At most 100 columns with up to four placements, ASCII.
std::string simulation_text(const SimulationReport& report);

/// A line per workload and width skew: seconds of a step, contiguous, planned and evenly spread.
std::string simulated_cases_text(const std::string& strategy, std::span<const SimulatedCase> cases);

/// Both as one JSON document, a newline at the end. Seconds and bytes; lists by rank.
std::string simulation_json(const SimulationReport& report);
std::string simulated_cases_json(const std::string& strategy, std::span<const SimulatedCase> cases);

}  // namespace hetmoe
