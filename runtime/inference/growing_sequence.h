#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "runtime/inference/loaded_model.h"

namespace hetmoe {

class KeyValueCache;

/// A sequence that is asked again and again for its next token, each time longer than before: what
/// was computed of its beginning is kept where the device allows it. `model` must outlive this.
class GrowingSequence {
 public:
  explicit GrowingSequence(LoadedModel& model);
  ~GrowingSequence();
  GrowingSequence(const GrowingSequence&) = delete;
  GrowingSequence& operator=(const GrowingSequence&) = delete;

  /// Logits [vocabulary] of the token after these: all of the sequence, which begins with what was
  /// given before and is longer; of none: none. Collective like LoadedModel::next_token_logits.
  std::vector<float> next_token_logits(std::span<const std::int32_t> tokens);

 private:
  LoadedModel& model_;
  std::unique_ptr<KeyValueCache> cache_;  ///< none on a GPU
};

}  // namespace hetmoe
