#include "core/data/token_source.h"

#include "core/base/error.h"

namespace hetmoe {
namespace {

std::string tokenizer_of(const ShardSidecar& sidecar) {
  return sidecar.tokenizer_digest + " (" + sidecar.tokenizer_name + ", vocabulary of " +
         std::to_string(sidecar.vocab_size) + ")";
}

[[noreturn]] void refuse(const TokenSource& first, const std::string& its, const TokenSource& other,
                         const std::string& others) {
  throw ConfigError(other.name() + " holds tokens of the tokenizer " + others +
                    ", allowed: those of " + first.name() + ", " + its);
}

}  // namespace

void require_one_tokenizer(std::span<const TokenSource* const> sources) {
  const TokenSource* described = nullptr;
  const TokenSource* known = nullptr;
  for (const TokenSource* source : sources) {
    if (source->sidecar()) {
      if (described == nullptr) described = source;
      const std::string its = tokenizer_of(*described->sidecar());
      const std::string others = tokenizer_of(*source->sidecar());
      if (its != others) refuse(*described, its, *source, others);
    }
    if (!source->vocabulary().empty()) {
      if (known == nullptr) known = source;
      if (known->vocabulary() != source->vocabulary()) {
        refuse(*known, "of " + known->vocabulary(), *source, "of " + source->vocabulary());
      }
    }
  }
}

}  // namespace hetmoe
