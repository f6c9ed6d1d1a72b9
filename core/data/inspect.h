#pragma once

#include <string>

#include "core/data/token_source.h"

namespace hetmoe {

/// Entropy of the distribution of single tokens, nats per token: what a model reaches that knows
/// only how often each token occurs. 0 for an empty shard. Cost: one pass over the tokens.
double unigram_entropy_nats(const TokenSource& source);

/// What the shards of a name (core/data/open_source.h) hold, for people or as one JSON document:
/// format, type, tokens, documents and their lengths, bytes per token, frequent tokens, entropy,
/// and the beginning as text when the tokenizer is at hand ("bytes", or its file beside the
/// shard with the same digest). Cost: one pass over the tokens. Errors: StorageError, ConfigError.
std::string inspect_shard(const std::string& name, bool json,
                          const std::string& sentencepiece_executable = "");

}  // namespace hetmoe
