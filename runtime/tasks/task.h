#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hetmoe {

/// Whose fields the lines of a task file have, and so how their prompts are built.
enum class TaskShape {
  kHellaSwag,
  kPiqa,
  kArc,
  kOpenBookQa,
  kWinoGrande,
  kBoolQ,
  kSocialIqa,
  kPlain,
};

const char* name_of(TaskShape shape);

/// One answer as the model is asked for it: how likely is `text`, after a space, behind `context`?
struct TaskChoice {
  std::string context;
  std::string text;

  friend bool operator==(const TaskChoice&, const TaskChoice&) = default;
};

struct TaskItem {
  std::int64_t line = 0;  ///< in its file, from 1
  std::vector<TaskChoice> choices = {};
  std::int64_t answer = 0;  ///< which of the choices is right, from 0
};

struct Task {
  std::string name = {};  ///< the file's, without folder and ending
  std::string path = {};
  TaskShape shape = TaskShape::kPlain;
  std::vector<TaskItem> items = {};  ///< at least one
};

}  // namespace hetmoe
