#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace hetmoe {

/// Adds `hetmoe sweep SWEEP.yaml --out FOLDER` to the command line: runs of one configuration that
/// differ in single keys, one after another or handed to a batch system, and their comparison
/// (launcher/sweep). Errors of the action: ConfigError with every fault of every configuration
/// before anything runs; StorageError for the folder.
void add_sweep_command(CLI::App& app, std::function<int()>& action);

}  // namespace hetmoe
