#pragma once

#include <string>
#include <string_view>

#include "runtime/tasks/task.h"

namespace hetmoe {

/// Reads a task: JSON lines, all of the shape of the first; empty lines are passed over.
/// Errors: StorageError that names the file and the line, and what is wrong with it.
Task read_task(const std::string& path);

/// The same of what a file holds.
Task parse_task(std::string_view text, const std::string& path);

}  // namespace hetmoe
