#pragma once

#include <cstdint>
#include <vector>

#include "core/data/tokenizer.h"
#include "runtime/tasks/task.h"

namespace hetmoe {

/// One choice in tokens.
struct TaskRequest {
  std::vector<std::int32_t> tokens = {};
  std::int64_t scored =
      0;             ///< the last tokens, those of the answer; at least 1, below tokens.size()
  bool cut = false;  ///< longer than the window: it has lost its beginning
};

/// All choices of all items in order, as lm-evaluation-harness gives them to a model of the same
/// tokenizer: space at the end of a context belongs to what follows; context and both together are
/// encoded, and what the context's tokens leave over is the answer; without a context, the end of a
/// document stands before it. No request has more than `window` + 1 tokens: the last one is only
/// predicted. Errors: StorageError that names file, line and choice for an answer without tokens;
/// ConfigError for one that is longer than the window, or where the tokenizer ends no documents.
std::vector<TaskRequest> encode_requests(const Task& task, Tokenizer& tokenizer,
                                         std::int64_t window);

}  // namespace hetmoe
