#include "core/data/window_sampler.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <string>

#include "core/base/check.h"
#include "core/base/error.h"

namespace hetmoe {
namespace {

constexpr std::uint64_t kRounds = 6;

void require_positive(const char* name, std::int64_t value) {
  if (value >= 1) return;
  throw ConfigError(std::string(name) + " is " + std::to_string(value) + ", must be at least 1");
}

std::int64_t count_windows(std::int64_t num_tokens, std::int64_t sequence_length) {
  require_positive("sequence_length", sequence_length);
  if (num_tokens <= sequence_length) {
    throw ConfigError("the corpus holds " + std::to_string(num_tokens) +
                      " tokens, but one window of sequence_length " +
                      std::to_string(sequence_length) + " needs " +
                      std::to_string(sequence_length) + " + 1");
  }
  return (num_tokens - 1) / sequence_length;
}

}  // namespace

WindowSampler::WindowSampler(std::uint64_t seed, std::int64_t num_tokens,
                             std::int64_t sequence_length, std::int64_t global_batch)
    : seed_(seed),
      sequence_length_(sequence_length),
      global_batch_(global_batch),
      num_windows_(count_windows(num_tokens, sequence_length)) {
  require_positive("global_batch", global_batch);
  const int bits = std::bit_width(static_cast<std::uint64_t>(num_windows_ - 1));
  half_bits_ = std::max(1, (bits + 1) / 2);
}

std::int64_t WindowSampler::window_begin(std::int64_t step,
                                         std::int64_t index_in_global_batch) const {
  HETMOE_CHECK(step >= 1, "step ", step);
  HETMOE_CHECK(index_in_global_batch >= 0 && index_in_global_batch < global_batch_, "index ",
               index_in_global_batch, " in a global batch of ", global_batch_);
  return window_begin_of_sample((step - 1) * global_batch_ + index_in_global_batch);
}

std::int64_t WindowSampler::window_begin_of_sample(std::int64_t sample) const {
  HETMOE_CHECK(sample >= 0, "sample ", sample);
  return permuted(sample / num_windows_, sample % num_windows_) * sequence_length_;
}

// A balanced Feistel network permutes [0, 4^half_bits). Walking along its cycle until a value falls
// into [0, num_windows) is a permutation of that range; the walk takes fewer than 4 steps on
// average because 4^half_bits < 4 * num_windows.
std::int64_t WindowSampler::permuted(std::int64_t epoch, std::int64_t position) const {
  HETMOE_CHECK(position >= 0 && position < num_windows_, "position ", position, " of ",
               num_windows_);
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  auto value = static_cast<std::uint64_t>(position);
  do {
    std::uint64_t left = value >> half_bits_;
    std::uint64_t right = value & mask;
    for (std::uint64_t round = 0; round < kRounds; ++round) {
      const std::array<std::uint64_t, 3> key = {static_cast<std::uint64_t>(epoch), round, right};
      const std::uint64_t mixed = XXH3_64bits_withSeed(key.data(), sizeof(key), seed_);
      const std::uint64_t next = (left ^ mixed) & mask;
      left = right;
      right = next;
    }
    value = (left << half_bits_) | right;
  } while (value >= static_cast<std::uint64_t>(num_windows_));
  return static_cast<std::int64_t>(value);
}

}  // namespace hetmoe
