#pragma once

#include <cstdint>
#include <vector>

#include "runtime/inference/loaded_model.h"

namespace hetmoe {

struct GenerationRequest {
  std::vector<std::int32_t> prompt;  ///< at least one id below vocab_size
  std::int64_t max_tokens = 0;       ///< prompt and these: at most kLongestSequence
  double temperature = 1;            ///< 0: the likeliest token each time
  std::uint64_t seed = 1;
  std::int64_t vocab_size = 0;        ///< of the tokenizer: ids from there on are never drawn
  std::int32_t end_of_document = -1;  ///< ends the text and is no part of it; -1: nothing does
};

struct Generation {
  std::vector<std::int32_t> tokens;  ///< without the prompt
  bool ended = false;                ///< at the end of a document
};

/// Continues a text token by token; a seed gives the same text on any number of ranks, as far as
/// rounding allows. The whole prefix is computed anew for each token, by rank 0, with experts
/// wherever they are: cost grows with the square of the length.
/// Collective; the request that counts is rank 0's, and so is the result: the other ranks' is
/// empty. Errors: AgreedError: configuration for a request that is not as above, non-finite for
/// logits that are not finite.
Generation generate(LoadedModel& model, const GenerationRequest& request);

}  // namespace hetmoe
