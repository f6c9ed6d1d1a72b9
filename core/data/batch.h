#pragma once

#include <cstdint>
#include <vector>

namespace hetmoe {

/// Some sequences of one global batch. All three arrays are [sequences, length], row-major.
struct Batch {
  std::int64_t sequences = 0;
  std::int64_t length = 0;
  std::vector<std::int32_t> inputs;
  std::vector<std::int32_t> targets;  ///< the token after each input
  /// For each position, the place in its row where its document begins: attention reaches back to
  /// there. 0 everywhere when attention crosses documents.
  std::vector<std::int32_t> document_begin;

  /// Sets the sizes; keeps the memory of an earlier batch.
  void resize(std::int64_t new_sequences, std::int64_t new_length) {
    sequences = new_sequences;
    length = new_length;
    const auto count = static_cast<std::size_t>(new_sequences * new_length);
    inputs.resize(count);
    targets.resize(count);
    document_begin.assign(count, 0);
  }
};

}  // namespace hetmoe
