#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace hetmoe {

/// Adds `hetmoe status RUN_DIR|ADDRESS [--json] [--watch[=SECONDS]]` to the command line. The
/// action gives 0 when the coordinator answered, or the run has ended (exit.json says how); 5 when
/// nobody answers: what the run's files tell is shown then, if there is a run directory.
/// Errors of the action: CoordinatorError, ConfigError.
void add_status_command(CLI::App& app, std::function<int()>& action);

}  // namespace hetmoe
