#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace hetmoe {

/// Adds `hetmoe completion bash|zsh|fish`, which prints a script made from `app` as it is when the
/// action runs (launcher/completion): `app` must outlive it.
void add_completion_command(CLI::App& app, std::function<int()>& action);

}  // namespace hetmoe
