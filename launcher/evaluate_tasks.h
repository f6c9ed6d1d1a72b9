#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hetmoe {

struct TaskOptions {
  std::string checkpoint;          ///< or a run directory
  std::vector<std::string> tasks;  ///< files
  std::string tokenizer;           ///< empty: that of the run's text
  std::string items_path;          ///< empty: no file of items
  std::int64_t max_length = 0;     ///< window in tokens; 0: train.sequence_length
  std::vector<std::string> settings;
  bool json = false;
};

/// `hetmoe evaluate --task`: multiple-choice tasks. Like add_evaluate_command's work: collective,
/// blocking, gives the exit code, to be called before MPI has started.
int run_evaluate_tasks(const TaskOptions& options);

}  // namespace hetmoe
