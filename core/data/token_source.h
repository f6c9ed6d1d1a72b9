#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/data/shard_sidecar.h"
#include "core/data/token_type.h"

namespace hetmoe {

/// A tokenised corpus that is read in place: one file or many, in a format of Megatron, llm.c or
/// nanoGPT. Threads: const calls may run at the same time. Errors: StorageError of one line.
class TokenSource {
 public:
  virtual ~TokenSource() = default;

  /// As it was asked for: PREFIX of a pair, the path of a file, or a pattern of several.
  virtual const std::string& name() const = 0;
  /// "Megatron", "llm.c version 1".
  virtual std::string format() const = 0;
  /// Whose ids these are by the format alone: "GPT-2", "Llama 3"; empty: it does not say.
  virtual std::string vocabulary() const = 0;
  virtual TokenType token_type() const = 0;
  /// Pairs count as one.
  virtual std::int64_t num_files() const = 0;
  virtual std::int64_t num_tokens() const = 0;
  /// Empty ones included; nothing where there is no index to say.
  virtual std::optional<std::int64_t> indexed_documents() const = 0;

  /// Copies tokens [begin, begin + out.size()), a range of the corpus. Every id must lie in
  /// [0, vocab_size): files are never trusted further than what is read.
  /// Errors: StorageError naming file and byte offset of the first bad id.
  virtual void read_checked(std::int64_t begin, std::span<std::int32_t> out,
                            std::int64_t vocab_size) const = 0;

  /// Appends to `starts` the places i, rising, where token begin + i is the first of a document.
  /// `tokens` are those of [begin, begin + tokens.size()), as read. Cost: never more than these
  /// tokens and a search in the index.
  virtual void find_documents(std::int64_t begin, std::span<const std::int32_t> tokens,
                              std::vector<std::int64_t>& starts) const = 0;

  /// What a description beside the files tells of them; nothing where there is none.
  virtual const std::optional<ShardSidecar>& sidecar() const = 0;
};

/// Errors: ConfigError naming two sources of which it is known that their ids come of different
/// tokenizers. A source that does not say goes with any other.
void require_one_tokenizer(std::span<const TokenSource* const> sources);

}  // namespace hetmoe
