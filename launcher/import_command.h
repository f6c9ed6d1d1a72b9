#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace hetmoe {

/// `hetmoe import`: a model of transformers as weights that training begins with.
void add_import_command(CLI::App& app, std::function<int()>& action);

}  // namespace hetmoe
