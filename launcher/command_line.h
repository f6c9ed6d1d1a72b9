#pragma once

namespace hetmoe {

/// Reads the command line and runs the subcommand it names. Gives the exit code: that of the
/// subcommand, 0 after --help, --version and --help-config, 2 after a line on a usage error.
/// Errors: those of the subcommand.
int run_command_line(int argc, const char* const* argv);

}  // namespace hetmoe
