#pragma once

#include <CLI/CLI.hpp>
#include <memory>

namespace hetmoe {

/// How --help looks: explanations wrapped, so that lines fit a terminal of 100 columns.
std::shared_ptr<CLI::Formatter> help_format();

}  // namespace hetmoe
