#pragma once

#include <string>

#include "core/data/token_shard.h"

namespace hetmoe {

/// Entropy of the distribution of single tokens, nats per token: what a model reaches that knows
/// only how often each token occurs. 0 for an empty shard. Cost: one pass over the tokens.
double unigram_entropy_nats(const TokenShard& shard);

/// What PREFIX.bin/.idx/.json hold, for people or as one JSON document: type, tokens, documents and
/// their lengths, bytes per token, frequent tokens, entropy, and the beginning as text when the
/// tokenizer is at hand ("bytes", or tokenizer.model beside the shard with the same digest).
/// Errors: StorageError.
std::string inspect_shard(const std::string& prefix, bool json,
                          const std::string& sentencepiece_executable = "");

}  // namespace hetmoe
