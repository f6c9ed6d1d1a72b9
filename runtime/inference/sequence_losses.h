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

/// A sequence of which only the last tokens are asked for.
struct Continuation {
  std::vector<std::int32_t> tokens;
  std::int64_t scored = 0;  ///< the last of them: at least 1, fewer than all
};

/// Of each continuation, in order, the sum of the losses (nats) of its scored tokens, each after
/// all before it: the negative log-likelihood. Ranks take turns, the longest first, so that those
/// of one turn are about as long. Collective; the continuations that count are rank 0's, and every
/// rank gets the result. Errors: as sequence_losses.
std::vector<double> continuation_losses(LoadedModel& model,
                                        std::vector<Continuation> continuations);

}  // namespace hetmoe
