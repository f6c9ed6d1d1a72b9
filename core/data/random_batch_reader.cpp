#include "core/data/random_batch_reader.h"

#include <limits>
#include <string>

#include "core/base/check.h"
#include "core/base/error.h"

namespace hetmoe {

RandomBatchReader::RandomBatchReader(std::uint64_t seed, std::int64_t vocab_size,
                                     std::int64_t sequence_length, std::int64_t global_batch)
    : vocab_size_(vocab_size),
      sequence_length_(sequence_length),
      global_batch_(global_batch),
      training_(seed, "random tokens"),
      sequential_(seed, "random tokens in sequence") {
  if (vocab_size >= 1 && sequence_length >= 1 && global_batch >= 1) return;
  throw ConfigError("random tokens: vocab_size " + std::to_string(vocab_size) +
                    ", sequence_length " + std::to_string(sequence_length) + ", global_batch " +
                    std::to_string(global_batch) + "; each must be at least 1");
}

std::int64_t RandomBatchReader::num_windows() const {
  return std::numeric_limits<std::int64_t>::max() / (sequence_length_ + 1);
}

void RandomBatchReader::read(std::int64_t step,
                             std::span<const std::int64_t> indices_in_global_batch, Batch& out) {
  HETMOE_CHECK(step >= 1, "step ", step);
  out.resize(static_cast<std::int64_t>(indices_in_global_batch.size()), sequence_length_);
  for (std::size_t row = 0; row < indices_in_global_batch.size(); ++row) {
    const std::int64_t index = indices_in_global_batch[row];
    HETMOE_CHECK(index >= 0 && index < global_batch_, "index ", index, " in a global batch of ",
                 global_batch_);
    fill(training_, static_cast<std::uint64_t>((step - 1) * global_batch_ + index),
         static_cast<std::int64_t>(row), out);
  }
}

void RandomBatchReader::read_sequential(std::int64_t first_window, std::int64_t count, Batch& out) {
  HETMOE_CHECK(first_window >= 0 && count >= 0, "windows ", first_window, " + ", count);
  out.resize(count, sequence_length_);
  for (std::int64_t row = 0; row < count; ++row) {
    fill(sequential_, static_cast<std::uint64_t>(first_window + row), row, out);
  }
}

void RandomBatchReader::fill(const CounterRandom& random, std::uint64_t sequence, std::int64_t row,
                             Batch& out) const {
  const auto draw = [&](std::int64_t position) {
    const std::uint64_t bits = random.bits(sequence, static_cast<std::uint64_t>(position));
    return static_cast<std::int32_t>(bits % static_cast<std::uint64_t>(vocab_size_));
  };
  std::int32_t token = draw(0);
  for (std::int64_t position = 0; position < sequence_length_; ++position) {
    const auto at = static_cast<std::size_t>(row * sequence_length_ + position);
    out.inputs[at] = token;
    token = draw(position + 1);
    out.targets[at] = token;
  }
}

}  // namespace hetmoe
