#pragma once

#include <string>

#include "launcher/mpirun_command.h"

namespace hetmoe {

/// Path of the program that this process runs. Errors: StorageError.
std::string running_program();

/// This process's program, user, environment and machine, with a new launch id.
/// Errors: StorageError.
Surroundings find_surroundings();

}  // namespace hetmoe
