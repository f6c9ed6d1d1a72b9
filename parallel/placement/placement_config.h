#pragma once

#include <cstdint>
#include <string>

#include "core/config/allowed.h"

namespace hetmoe {

/// Which rank holds which rows of which expert.
struct PlacementConfig {
  std::string strategy = "slices";
  std::int64_t every = 100;
  std::string cluster;
  double memory_cap_ratio = 1.10;
  double tolerance = 0.02;
  std::int64_t granularity = 32;
  std::int64_t replicas = 0;

  template <typename Visitor>
  void fields(Visitor& visit) {
    visit.field("strategy", strategy, "",
                "slices: experts cut where balance or memory needs it; whole: largest work first "
                "onto the least loaded rank; eplb: equal numbers weighted by load; contiguous: "
                "equal runs of experts in order; or a plan file.",
                one_of_or_file({"slices", "whole", "eplb", "contiguous"}, ".json"));
    visit.field("every", every, "steps",
                "How often the planner is asked whether slices should move; 0: never.",
                at_least(0));
    visit.field("cluster", cluster, "",
                "File of measured speeds to plan by, in predicted seconds; empty: by FLOPs and "
                "traffic.");
    visit.field("memory_cap_ratio", memory_cap_ratio, "",
                "Most expert bytes of a rank, over the mean of all ranks.", at_least(1, 1e6));
    visit.field("tolerance", tolerance, "",
                "Work of the busiest rank may exceed the mean by this part.", at_least(0, 1e6));
    visit.field("granularity", granularity, "hidden units", "Cuts lie at multiples of it.",
                at_least(1, 1 << 20));
    visit.field("replicas", replicas, "slices",
                "Copies beyond the first, per layer, at most: where memory has room a hot expert "
                "is served by several ranks instead of being cut.",
                between(0, 1 << 20));
  }
};

}  // namespace hetmoe
