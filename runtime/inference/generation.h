#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "runtime/inference/loaded_model.h"
#include "runtime/inference/sampling.h"

namespace hetmoe {

struct GenerationRequest {
  std::vector<std::int32_t> prompt;  ///< at least one id below vocab_size
  std::int64_t max_tokens = 0;       ///< prompt and these: at most kLongestSequence
  Sampling sampling;
  std::uint64_t seed = 1;
  std::int64_t vocab_size = 0;        ///< of the tokenizer: ids from there on are never drawn
  std::int32_t end_of_document = -1;  ///< ends the text and is no part of it; -1: nothing does
  /// Told every token of the text as soon as it is drawn. May throw.
  std::function<void(std::int32_t)> on_token = {};
};

struct Generation {
  std::vector<std::int32_t> tokens;  ///< without the prompt
  bool ended = false;                ///< at the end of a document
};

/// Continues a text token by token; a seed gives the same text on any number of ranks, as far as
/// rounding allows. Rank 0 has the text, and its keys and values in a cache; experts compute
/// wherever they are. A token costs a pass over one token and attention to all before it; on GPUs,
/// which know no cache, a pass over the whole text.
/// Collective; the request that counts is rank 0's, and so is the result: the other ranks' is
/// empty. Errors: AgreedError: configuration for a request that is not as above, non-finite for
/// logits that are not finite, whatever on_token throws.
Generation generate(LoadedModel& model, const GenerationRequest& request);

}  // namespace hetmoe
