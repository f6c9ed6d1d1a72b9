#include "runtime/inference/growing_sequence.h"

#include "core/base/check.h"
#include "core/model/key_value_cache.h"

namespace hetmoe {

GrowingSequence::GrowingSequence(LoadedModel& model) : model_(model), cache_(model.make_cache()) {}

GrowingSequence::~GrowingSequence() = default;

std::vector<float> GrowingSequence::next_token_logits(std::span<const std::int32_t> tokens) {
  if (!cache_ || tokens.empty()) return model_.next_token_logits(tokens);
  const auto known = static_cast<std::size_t>(cache_->length());
  HETMOE_CHECK(tokens.size() > known, tokens.size(), " tokens, ", known, " of them before");
  return model_.next_token_logits(tokens.subspan(known), cache_.get());
}

}  // namespace hetmoe
