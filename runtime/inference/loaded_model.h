#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "parallel/communicator/communicator.h"
#include "runtime/run_config.h"

namespace hetmoe {

class Decoder;
class KeyValueCache;
class ParameterGate;
class ParameterStore;

/// Longest sequence that a loaded model computes. Rotary positions are relative, so it may be
/// longer than those of training; how well the model does there is another question.
inline constexpr std::int64_t kLongestSequence = 65536;

/// A model from a checkpoint, ready to compute on the ranks at hand, whatever the number that
/// saved: experts are placed anew for the saved loads, and each rank reads what it holds. No
/// masters, no moments, no gradients: memory is that of the compute copies.
class LoadedModel {
 public:
  /// `path`: a checkpoint or a run directory, whose newest committed checkpoint rank 0 chooses.
  /// `settings`: see config_of_checkpoint. Sets LibTorch's thread count. The checkpoint is open,
  /// and so not pruned, until this returns. Collective. Blocking: the disk. `world` and `clock`
  /// must outlive the model. Errors: AgreedError with the code of storage or configuration.
  LoadedModel(const std::filesystem::path& path, const std::vector<std::string>& settings,
              Communicator& world, const Clock& clock);

  ~LoadedModel();
  LoadedModel(const LoadedModel&) = delete;
  LoadedModel& operator=(const LoadedModel&) = delete;

  const std::filesystem::path& checkpoint() const;
  std::int64_t step() const;
  const RunConfig& config() const;  ///< train.precision is resolved
  Communicator& control();
  ParameterGate& gate();
  Decoder& decoder();
  ParameterStore& parameters();

  /// Sum of the cross entropies (nats) of tokens first_scored, first_scored + 1, ... each after
  /// those before it. Every rank may bring another sequence; an empty one: none, gives 0.
  /// `first_token`: where the sequence begins among all tokens of the evaluation (forced routing
  /// counts them). Ids must lie in the vocabulary, at least 2 of them. Collective.
  double loss_sum(std::span<const std::int32_t> tokens, std::int64_t first_token = 0,
                  std::int64_t first_scored = 1);

  /// Logits [vocabulary] of the token after these; of none: none. With a cache: after the tokens
  /// that it holds and these, which it then holds as well. Collective like loss_sum.
  std::vector<float> next_token_logits(std::span<const std::int32_t> tokens,
                                       KeyValueCache* cache = nullptr);

  /// A cache for one sequence of this rank; none where the device knows none (GPUs).
  std::unique_ptr<KeyValueCache> make_cache() const;

 private:
  struct Parts;

  std::unique_ptr<Parts> parts_;
};

}  // namespace hetmoe
