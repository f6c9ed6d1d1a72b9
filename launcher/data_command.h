#pragma once

#include <string>

#include "core/data/prepare.h"

namespace hetmoe {

/// `hetmoe data prepare`: progress goes to standard error, the result to standard output, for
/// people or as one JSON document. Gives the exit code. Errors: those of prepare().
int run_data_prepare_command(const PrepareOptions& options, bool json);

/// `hetmoe data inspect`: prints what PREFIX.bin, .idx and .json hold. Gives the exit code.
/// Errors: StorageError.
int run_data_inspect_command(const std::string& prefix, bool json);

}  // namespace hetmoe
