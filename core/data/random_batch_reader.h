#pragma once

#include <cstdint>

#include "core/base/random.h"
#include "core/data/batch_reader.h"

namespace hetmoe {

/// Uniform random tokens for benchmarks (`data.train: random`): a pure function of
/// (seed, step, index in the global batch, position). read_sequential draws from a stream of its
/// own. Each sequence is one document.
class RandomBatchReader final : public BatchReader {
 public:
  /// Errors: ConfigError when a number is not positive.
  RandomBatchReader(std::uint64_t seed, std::int64_t vocab_size, std::int64_t sequence_length,
                    std::int64_t global_batch);

  void read(std::int64_t step, std::span<const std::int64_t> indices_in_global_batch,
            Batch& out) override;
  void read_sequential(std::int64_t first_window, std::int64_t count, Batch& out) override;
  std::int64_t num_windows() const override;

 private:
  void fill(const CounterRandom& random, std::uint64_t sequence, std::int64_t row,
            Batch& out) const;

  std::int64_t vocab_size_;
  std::int64_t sequence_length_;
  std::int64_t global_batch_;
  CounterRandom training_;
  CounterRandom sequential_;
};

}  // namespace hetmoe
