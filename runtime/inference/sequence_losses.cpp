#include "runtime/inference/sequence_losses.h"

#include <algorithm>
#include <array>
#include <functional>
#include <numeric>
#include <string>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "parallel/agreement.h"

namespace hetmoe {
namespace {

void require_valid(std::size_t index, std::span<const std::int32_t> tokens,
                   std::int64_t vocab_size) {
  const std::string place = "sequence " + std::to_string(index) + ": ";
  if (tokens.size() < 2 || tokens.size() > static_cast<std::size_t>(kLongestSequence)) {
    throw ConfigError(place + std::to_string(tokens.size()) + " tokens, allowed: 2 to " +
                      std::to_string(kLongestSequence));
  }
  for (const std::int32_t token : tokens) {
    if (token >= 0 && token < vocab_size) continue;
    throw ConfigError(place + "token " + std::to_string(token) + ", allowed: 0 to " +
                      std::to_string(vocab_size - 1) + " (model.vocab_size " +
                      std::to_string(vocab_size) + ")");
  }
}

/// A sequence whose tokens count from `first_scored` on.
struct Scored {
  std::span<const std::int32_t> tokens;
  std::int64_t first_scored = 1;
  std::int64_t first_token = 0;  ///< where it begins among the targets of all sequences
};

/// Where each sequence begins does not depend on whose turn it is.
void number_tokens(std::span<Scored> sequences) {
  std::int64_t first_token = 0;
  for (Scored& sequence : sequences) {
    sequence.first_token = first_token;
    first_token += static_cast<std::int64_t>(sequence.tokens.size()) - 1;
  }
}

/// Sums of losses, the same on every rank. Collective, with the same sequences on every rank.
std::vector<double> losses_in_turns(LoadedModel& model, std::vector<Scored> sequences) {
  number_tokens(sequences);
  std::vector<std::size_t> order(sequences.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::ranges::greater(),
                           [&](std::size_t i) { return sequences[i].tokens.size(); });
  Communicator& control = model.control();
  const auto ranks = static_cast<std::size_t>(control.size());
  const auto rank = static_cast<std::size_t>(control.rank());
  std::vector<double> sums(sequences.size());
  for (std::size_t turn = 0; turn < order.size(); turn += ranks) {
    const bool has_one = turn + rank < order.size();
    const Scored mine = has_one ? sequences[order[turn + rank]] : Scored();
    const double sum = model.loss_sum(mine.tokens, mine.first_token, mine.first_scored);
    if (has_one) sums[order[turn + rank]] = sum;
  }
  control.all_reduce(buffer_of(std::span<double>(sums)), Reduction::kSum).wait();
  return sums;
}

/// Rank 0's on every rank, as numbers: of each its length, how many count, and its tokens.
void share(std::vector<Continuation>& continuations, Communicator& control) {
  std::vector<std::int64_t> numbers;
  for (const Continuation& one : continuations) {
    numbers.push_back(static_cast<std::int64_t>(one.tokens.size()));
    numbers.push_back(one.scored);
    numbers.insert(numbers.end(), one.tokens.begin(), one.tokens.end());
  }
  std::array<std::int64_t, 1> count = {static_cast<std::int64_t>(numbers.size())};
  control.broadcast(buffer_of(std::span<std::int64_t>(count)), 0).wait();
  numbers.resize(static_cast<std::size_t>(count[0]));
  control.broadcast(buffer_of(std::span<std::int64_t>(numbers)), 0).wait();
  continuations.clear();
  for (auto next = numbers.begin(); next != numbers.end();) {
    const std::int64_t length = next[0];
    Continuation& one = continuations.emplace_back();
    one.scored = next[1];
    one.tokens.assign(next + 2, next + 2 + length);
    next += 2 + length;
  }
}

}  // namespace

std::vector<SequenceLoss> sequence_losses(LoadedModel& model,
                                          std::span<const std::vector<std::int32_t>> sequences) {
  std::vector<Scored> scored;
  collectively(model.control(), [&] {
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      require_valid(i, sequences[i], model.config().model.vocab_size);
      scored.push_back({.tokens = sequences[i]});
    }
  });
  const std::vector<double> sums = losses_in_turns(model, std::move(scored));
  std::vector<SequenceLoss> losses;
  for (std::size_t i = 0; i < sums.size(); ++i) {
    losses.push_back({sums[i], static_cast<std::int64_t>(sequences[i].size()) - 1});
  }
  return losses;
}

std::vector<double> continuation_losses(LoadedModel& model,
                                        std::vector<Continuation> continuations) {
  Communicator& control = model.control();
  if (control.rank() != 0) continuations.clear();
  collectively(control, [&] {
    for (std::size_t i = 0; i < continuations.size(); ++i) {
      require_valid(i, continuations[i].tokens, model.config().model.vocab_size);
      HETMOE_CHECK(
          continuations[i].scored > 0 &&
              continuations[i].scored < static_cast<std::int64_t>(continuations[i].tokens.size()),
          continuations[i].scored, " of ", continuations[i].tokens.size(), " tokens");
    }
  });
  share(continuations, control);
  std::vector<Scored> scored;
  for (const Continuation& one : continuations) {
    scored.push_back({.tokens = one.tokens,
                      .first_scored = static_cast<std::int64_t>(one.tokens.size()) - one.scored});
  }
  return losses_in_turns(model, std::move(scored));
}

}  // namespace hetmoe
