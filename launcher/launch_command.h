#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace hetmoe {

/// Adds `hetmoe launch` to the command line: mpirun with `hetmoe train`, restarted from the last
/// commit when a rank is lost (launcher/supervise.h). When the line names it, `action` is set to
/// what runs it and gives the exit code. Errors of that: ConfigError, StorageError.
void add_launch(CLI::App& app, std::function<int()>& action);

}  // namespace hetmoe
