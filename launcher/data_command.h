#pragma once

#include <string>

namespace hetmoe {

/// `hetmoe data inspect`: prints what PREFIX.bin, .idx and .json hold. Gives the exit code.
/// Errors: StorageError.
int run_data_inspect_command(const std::string& prefix, bool json);

}  // namespace hetmoe
