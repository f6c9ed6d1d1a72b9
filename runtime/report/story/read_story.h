#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "runtime/report/story/run_story.h"

namespace hetmoe {

/// Whether the folder holds at least one of the files that a run leaves.
bool is_run_directory(const std::filesystem::path& path);

/// What a run directory is called: "a" for runs/a, runs/a/ and for . in it.
std::string run_directory_name(const std::filesystem::path& path);

/// Reads a run directory as it is, of a run that goes on too. Files that are missing, torn or
/// damaged are told in `passed_over`. `end`: what exit.json says, nothing where there is none.
/// Blocking: the disk; reads metrics.jsonl whole, some 50 MB a second.
RunStory read_run_story(const std::filesystem::path& path, const std::optional<StoryEnd>& end,
                        double wall_seconds_now);

}  // namespace hetmoe
