#pragma once

#include <cstdint>
#include <span>

#include "core/data/batch.h"

namespace hetmoe {

/// Gives the sequences that one rank needs. No collective, no state that depends on what was read
/// before: any rank may read any part of any step. Blocking: the host, for page faults.
/// Errors: StorageError for token ids outside the vocabulary.
class BatchReader {
 public:
  virtual ~BatchReader() = default;

  /// Fills `out` with the sequences at these places of the global batch of `step` (from 1), in the
  /// order given. No places: an empty batch. Reuses the memory of `out`.
  virtual void read(std::int64_t step, std::span<const std::int64_t> indices_in_global_batch,
                    Batch& out) = 0;

  /// Fills `out` with windows [first_window, first_window + count) in corpus order, for held-out
  /// loss over a fixed text. Must lie in [0, num_windows()).
  virtual void read_sequential(std::int64_t first_window, std::int64_t count, Batch& out) = 0;

  /// Windows of sequence_length + 1 tokens that the source holds.
  virtual std::int64_t num_windows() const = 0;
};

}  // namespace hetmoe
