#pragma once

#include <optional>

#include "runtime/tasks/item_fields.h"
#include "runtime/tasks/task.h"

namespace hetmoe {

/// By the field that only files of its kind have.
std::optional<TaskShape> shape_of(const ItemFields& fields);

/// The prompts and the right answer of an item, as lm-evaluation-harness builds them without
/// examples. The line is left 0. Errors: StorageError as ItemFields.
TaskItem make_item(TaskShape shape, const ItemFields& fields);

}  // namespace hetmoe
