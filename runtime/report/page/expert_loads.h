#pragma once

#include <cstddef>
#include <vector>

#include "runtime/report/story/run_story.h"

namespace hetmoe {

/// Tokens by expert and FLOPs by rank, put together from the lines that give them.

/// The number of experts that most of the newest lines tell of; 0: none does.
std::size_t num_experts(const RunStory& story);

/// Part of all tokens that each expert got in story.steps [begin, end); empty: no line tells.
std::vector<double> expert_shares(const RunStory& story, std::size_t begin, std::size_t end);

/// Mean expert FLOPs of each rank over the steps in (after, to], as many as `most` of them and the
/// nearest to `near_the_end`'s end; empty: no line tells, or they tell of different numbers of
/// ranks.
struct StepWindow {
  std::int64_t after = 0;
  std::int64_t to = 0;
  std::size_t most = 20;
  bool near_the_end = false;
};
std::vector<double> rank_flops(const RunStory& story, const StepWindow& window);

/// Experts from narrow to wide; those of one width in their order.
std::vector<std::size_t> by_width(const std::vector<std::int64_t>& widths, std::size_t count);

/// The colour of each expert: on the ramp, from narrow to wide.
std::vector<std::string> expert_colours(const std::vector<std::int64_t>& widths, std::size_t count);

}  // namespace hetmoe
