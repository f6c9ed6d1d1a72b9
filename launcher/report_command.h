#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace hetmoe {

/// Adds `hetmoe report RUN_DIR... [--out FILE] [--csv FILE]` to the command line. Needs no ranks;
/// of a run that goes on it shows what is there. Errors of the action: ConfigError for a folder
/// that is no run's, StorageError when nothing can be written.
void add_report_command(CLI::App& app, std::function<int()>& action);

}  // namespace hetmoe
