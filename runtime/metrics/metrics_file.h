#pragma once

#include <filesystem>
#include <string>

#include "runtime/metrics/append_file.h"
#include "runtime/metrics/training_record.h"

namespace hetmoe {

/// A step as a line of `metrics.jsonl`, without its end. A non-finite number becomes null.
std::string metrics_line(const StepRecord& record);

/// `metrics.jsonl`: one JSON object per line, appended and never rewritten. Field names are a
/// contract. Rank 0 only. Errors: StorageError.
class MetricsFile {
 public:
  explicit MetricsFile(const std::filesystem::path& path);

  void write(const StepRecord& record);
  void write(const EvaluationRecord& record);

 private:
  AppendFile file_;
};

}  // namespace hetmoe
