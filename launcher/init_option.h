#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace hetmoe {

/// `--init CHECKPOINT`, refused beside a `--resume` that names a checkpoint too. Both strings must
/// outlive the parsing.
void add_init(CLI::App& command, std::string& init, const std::string& resume);

}  // namespace hetmoe
