#include "runtime/tasks/task_file.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string_view>

#include "core/base/error.h"
#include "core/data/mapped_file.h"
#include "runtime/tasks/item_fields.h"
#include "runtime/tasks/python_text.h"
#include "runtime/tasks/task_shapes.h"

namespace hetmoe {
namespace {

/// Of a line: far more than the longest passage.
constexpr std::size_t kMostBytes = 1 << 20;

TaskShape require_shape(const ItemFields& fields) {
  if (const std::optional<TaskShape> shape = shape_of(fields)) return *shape;
  throw StorageError(
      "the fields are of no known task, allowed: those of HellaSwag, PIQA, ARC, OpenBookQA, "
      "WinoGrande, BoolQ, SIQA, or context, choices, answer");
}

void append_item(std::string_view line, Task& task) {
  if (line.size() > kMostBytes) {
    throw StorageError(std::to_string(line.size()) +
                       " bytes, allowed: " + std::to_string(kMostBytes));
  }
  const ItemFields fields(line);
  if (task.items.empty()) task.shape = require_shape(fields);
  task.items.push_back(make_item(task.shape, fields));
}

}  // namespace

Task read_task(const std::string& path) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  return parse_task({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

Task parse_task(std::string_view text, const std::string& path) {
  Task task{.name = std::filesystem::path(path).stem().string(), .path = path};
  for (std::int64_t number = 1; !text.empty(); ++number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (stripped(line).empty()) continue;
    try {
      append_item(line, task);
    } catch (const StorageError& error) {
      throw StorageError(path + ": line " + std::to_string(number) + ": " + error.what());
    }
    task.items.back().line = number;
  }
  if (task.items.empty()) throw StorageError(path + ": holds no item, allowed: JSON lines");
  return task;
}

}  // namespace hetmoe
