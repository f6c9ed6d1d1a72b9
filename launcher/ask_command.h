#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace hetmoe {

/// Adds `hetmoe save|stop|rebalance RUN_DIR|ADDRESS [--wait SECONDS]` to the command line: what
/// people ask of a run, which all its ranks do after the same step. The action gives 0 once it is
/// done (save: committed; stop: executed, or the run has ended), or accepted with --wait 0; 5 when
/// it is not done in time and stays queued. Errors of the action: CoordinatorError, ConfigError.
void add_ask_commands(CLI::App& app, std::function<int()>& action);

}  // namespace hetmoe
