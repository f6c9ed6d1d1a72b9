#include "runtime/inference/sequence_losses.h"

#include <string>

#include "core/base/error.h"
#include "parallel/agreement.h"

namespace hetmoe {
namespace {

void require_valid(std::span<const std::vector<std::int32_t>> sequences, std::int64_t vocab_size) {
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    const std::vector<std::int32_t>& tokens = sequences[i];
    const std::string place = "sequence " + std::to_string(i) + ": ";
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
}

}  // namespace

std::vector<SequenceLoss> sequence_losses(LoadedModel& model,
                                          std::span<const std::vector<std::int32_t>> sequences) {
  Communicator& control = model.control();
  collectively(control, [&] { require_valid(sequences, model.config().model.vocab_size); });
  const std::size_t ranks = control.size();
  std::vector<double> sums(sequences.size());
  std::vector<SequenceLoss> losses(sequences.size());
  std::int64_t first_token = 0;
  for (std::size_t turn = 0; turn < sequences.size(); turn += ranks) {
    std::span<const std::int32_t> mine;
    std::int64_t mine_begins = 0;
    for (std::size_t i = turn; i < std::min(turn + ranks, sequences.size()); ++i) {
      losses[i].tokens = static_cast<std::int64_t>(sequences[i].size()) - 1;
      if (i - turn == static_cast<std::size_t>(control.rank())) {
        mine = sequences[i];
        mine_begins = first_token;
      }
      first_token += losses[i].tokens;
    }
    const double sum = model.loss_sum(mine, mine_begins);
    if (!mine.empty()) sums[turn + control.rank()] = sum;
  }
  control.all_reduce(buffer_of(std::span<double>(sums)), Reduction::kSum).wait();
  for (std::size_t i = 0; i < sums.size(); ++i) losses[i].loss_sum = sums[i];
  return losses;
}

}  // namespace hetmoe
