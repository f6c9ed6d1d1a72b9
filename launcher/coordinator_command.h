#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace hetmoe {

/// Adds `hetmoe coordinator --run-dir DIR [--listen HOST:PORT] ...` to the command line: a
/// coordinator in a process of its own, without ranks and without MPI, until SIGTERM, SIGINT or
/// SIGHUP ends it with code 0. What ranks need to reach it stands in DIR/coordinator.json and
/// survives a restart: the same token, the same certificate, the same port while it is free.
/// Errors of the action: StorageError (another coordinator holds DIR), CoordinatorError (cannot
/// listen), ConfigError.
void add_coordinator_command(CLI::App& app, std::function<int()>& action);

}  // namespace hetmoe
