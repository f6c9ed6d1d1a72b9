#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace hetmoe {

/// Adds `hetmoe checkpoint list|verify|inspect PATH` to the command line. PATH is a run directory,
/// its folder checkpoints or one step's folder. Needs no ranks. The action that the line chooses
/// gives the exit code: of verify 3 when a committed checkpoint is damaged.
/// Errors of the action: StorageError.
void add_checkpoint_command(CLI::App& app, std::function<int()>& action);

}  // namespace hetmoe
