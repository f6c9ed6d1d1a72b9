#pragma once

#include <cstdint>

namespace hetmoe {

/// Says which window of the corpus stands at which place of which global batch: a pure function of
/// (seed, step, index in the global batch), the same on every rank of every world, O(1) memory.
/// Windows hold sequence_length + 1 tokens and begin at multiples of sequence_length, so that every
/// token but the first is a target once. Each window occurs once per epoch, in an order of its own
/// per epoch; a global batch may straddle two epochs. Tokens after the last whole window are
/// unused.
class WindowSampler {
 public:
  /// Errors: ConfigError when the corpus holds no window, or a number is not positive.
  WindowSampler(std::uint64_t seed, std::int64_t num_tokens, std::int64_t sequence_length,
                std::int64_t global_batch);

  std::int64_t num_windows() const { return num_windows_; }
  std::int64_t sequence_length() const { return sequence_length_; }

  /// Token offset of a window. step counts from 1, index lies in [0, global_batch).
  std::int64_t window_begin(std::int64_t step, std::int64_t index_in_global_batch) const;

  /// Token offset of the sample-th window (from 0) of all that ever come.
  std::int64_t window_begin_of_sample(std::int64_t sample) const;

  /// Which window comes at `position` of an epoch: for a fixed epoch a permutation of
  /// [0, num_windows).
  std::int64_t permuted(std::int64_t epoch, std::int64_t position) const;

 private:
  std::uint64_t seed_;
  std::int64_t sequence_length_;
  std::int64_t global_batch_;
  std::int64_t num_windows_;
  int half_bits_;
};

}  // namespace hetmoe
