#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "runtime/report/story/run_story.h"

namespace CLI {
class App;
}

namespace hetmoe {

/// The story of a run directory as it is now; names on standard error what it passes over.
RunStory story_of_run(const std::string& run, double wall_seconds_now);

/// Says on standard output that the file is there, and how large.
void tell_written(const std::filesystem::path& path);

/// Adds `hetmoe report RUN_DIR... [--out FILE] [--csv FILE]` to the command line. Needs no ranks;
/// of a run that goes on it shows what is there. Errors of the action: ConfigError for a folder
/// that is no run's, StorageError when nothing can be written.
void add_report_command(CLI::App& app, std::function<int()>& action);

}  // namespace hetmoe
