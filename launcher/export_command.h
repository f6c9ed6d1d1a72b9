#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace hetmoe {

/// `hetmoe export`: a checkpoint as a folder that transformers loads.
void add_export_command(CLI::App& app, std::function<int()>& action);

}  // namespace hetmoe
