#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/tasks/task.h"
#include "runtime/tasks/task_requests.h"

namespace hetmoe {

/// A task and what was asked of the model for it.
struct AskedTask {
  Task task;
  std::vector<TaskRequest> requests = {};
  std::vector<double> log_likelihoods = {};  ///< of the requests, nats
};

struct TaskReport {
  std::string checkpoint;
  std::int64_t step = 0;
  std::int64_t window = 0;  ///< tokens
  std::span<const AskedTask> tasks;
};

/// One JSON document.
std::string as_json(const TaskReport& report);

/// A table, and how many choices were cut.
std::string as_text(const TaskReport& report);

/// A line of JSON for each item, in the order of the files.
std::string item_lines(std::span<const AskedTask> tasks);

}  // namespace hetmoe
