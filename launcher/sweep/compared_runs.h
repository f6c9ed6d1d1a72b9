#pragma once

#include <filesystem>

#include "runtime/report/comparison_text.h"
#include "runtime/report/story/run_story.h"

namespace hetmoe {

/// A run as a line of the comparison. Active parameters are measured: what the router selected over
/// the last tenth of the steps, by the widths that config.yaml gives; unknown where it cannot be
/// read or steps do not tell their experts. Blocking: the disk.
ComparedRun compared_run(const RunStory& story, const std::filesystem::path& run_directory);

}  // namespace hetmoe
