#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "runtime/tasks/task.h"

namespace hetmoe {

/// Share of the items whose right choice comes first.
struct Accuracy {
  double mean = 0;
  std::optional<double> standard_error;  ///< of the mean; none for one item
};

struct TaskScore {
  Accuracy plain;          ///< by log-likelihood; lm-evaluation-harness: acc
  Accuracy per_character;  ///< by log-likelihood over the characters of the text: acc_norm
  Accuracy per_byte;       ///< over its bytes in UTF-8: acc_bytes
};

/// `log_likelihoods` (nats): of all choices of all items in order. Of equal ones the first counts.
/// A pure function.
TaskScore score(const Task& task, std::span<const double> log_likelihoods);

}  // namespace hetmoe
