#pragma once

#include "runtime/metrics/run_directory.h"
#include "runtime/report/story/run_story.h"

namespace hetmoe {

// What read_run_story is made of: each takes one file and adds what it tells, and to passed_over
// what it does not. None throws for what stands in a file.

/// metrics.jsonl: steps, evaluations, what was trained twice.
void add_metrics(RunStory& story, const RunDirectory& directory);

/// events.jsonl: starts and their ends, rebalances, saves, incidents. After add_metrics, which
/// knows how far each generation came.
void add_events(RunStory& story, const RunDirectory& directory);

/// config.yaml: its keys and the widths that follow from them.
void add_config(RunStory& story, const RunDirectory& directory);

/// plan.json; widths from it where the configuration gives none.
void add_plan(RunStory& story, const RunDirectory& directory);

}  // namespace hetmoe
