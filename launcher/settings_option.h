#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace hetmoe {

/// `--set a.b=c`, once per key and as often as one likes; the last one of a key counts.
CLI::Option* add_settings(CLI::App& command, std::vector<std::string>& settings);

/// The same for commands that take only keys of parallel, and train.precision.
CLI::Option* add_parallel_settings(CLI::App& command, std::vector<std::string>& settings);

}  // namespace hetmoe
