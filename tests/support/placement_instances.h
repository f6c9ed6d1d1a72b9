#pragma once

#include <cstdint>

#include "parallel/placement/planner.h"

namespace hetmoe {

/// How a figure of the planner is drawn: experts of HMoE-0.4B's widths repeated, loads log-normal,
/// none more than half of all selections (what top-2 can give one expert).
struct InstanceKind {
  int experts = 8;
  int ranks = 2;
  double sigma = 0.3;
};

/// Kinds whose balance and traffic are reported.
inline constexpr InstanceKind kInstanceKinds[] = {{8, 2, 0.3},  {8, 3, 0.3},  {8, 4, 0.3},
                                                  {8, 4, 0.7},  {8, 5, 0.7},  {8, 8, 0.7},
                                                  {16, 8, 0.5}, {64, 8, 0.7}, {128, 16, 0.7}};

/// One layer with granularity 32, memory cap 1.10, tolerance 0.02. Equal seeds, equal instances.
PlanProblem random_instance(const InstanceKind& kind, std::uint64_t seed);

}  // namespace hetmoe
