#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/inference/loaded_model.h"

namespace hetmoe {

struct SequenceLoss {
  double loss_sum = 0;      ///< nats
  std::int64_t tokens = 0;  ///< targets: one less than the sequence has tokens

  friend bool operator==(const SequenceLoss&, const SequenceLoss&) = default;
};

/// Of each sequence, in order: every token after those before it, without auxiliary losses and
/// without document limits. The same sequences on every rank, which take turns, one sequence each
/// at a time: nothing is padded. Collective; the same result on every rank.
/// Errors: AgreedError (configuration) for a sequence of less than 2 or more than kLongestSequence
/// tokens, or an id outside the vocabulary.
std::vector<SequenceLoss> sequence_losses(LoadedModel& model,
                                          std::span<const std::vector<std::int32_t>> sequences);

}  // namespace hetmoe
