#pragma once

#include <vector>

#include "runtime/report/page/html.h"
#include "runtime/report/story/run_story.h"

namespace hetmoe {

// The parts of a page about one run, each empty where the run has nothing to tell of it.

Html head_part(const RunStory& story);       ///< state, model, figures
Html training_part(const RunStory& story);   ///< loss, evaluation, learning rate, gradient
Html speed_part(const RunStory& story);      ///< tokens/s, utilisation, phases
Html experts_part(const RunStory& story);    ///< tokens by expert beside widths
Html balance_part(const RunStory& story);    ///< FLOPs by rank around rebalances
Html placement_part(const RunStory& story);  ///< which rank holds what
Html operation_part(const RunStory& story);  ///< memory, saves, restarts, time
Html configuration_part(const RunStory& story);

/// Several runs over one another, and what they differ in.
Html comparison_part(const std::vector<RunStory>& stories);

}  // namespace hetmoe
