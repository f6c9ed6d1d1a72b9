#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "core/data/mapped_file.h"
#include "core/data/shard_sidecar.h"

namespace hetmoe {

/// Token types of the format that we read; the value is the format's code.
enum class TokenType : std::uint8_t { kInt32 = 4, kUint16 = 8 };

constexpr std::int64_t bytes_of(TokenType type) { return type == TokenType::kUint16 ? 2 : 4; }
const char* name_of(TokenType type);

/// A tokenised corpus: read-only view of PREFIX.bin and PREFIX.idx, the pair of files that Megatron
/// reads and writes, with PREFIX.json beside it when we wrote it. Never copies the corpus.
/// Move-only. Threads: const calls may run at the same time. Errors: StorageError of one line:
/// file, byte offset, value found, value expected.
class TokenShard {
 public:
  /// Maps and checks everything but the tokens themselves. Cost: one pass over the .idx.
  static TokenShard open(const std::string& prefix);

  const std::string& prefix() const { return prefix_; }
  TokenType token_type() const { return type_; }
  std::int64_t num_tokens() const { return num_tokens_; }
  std::int64_t num_documents() const { return num_documents_; }

  /// Offset of document i's first token, i in [0, num_documents()]; the last is num_tokens().
  std::int64_t document_begin(std::int64_t document) const;

  /// The document that holds a token in [0, num_tokens()). Cost: a binary search.
  std::int64_t document_at(std::int64_t token) const;

  /// Copies tokens [begin, begin + out.size()). The range must lie in the shard.
  void read(std::int64_t begin, std::span<std::int32_t> out) const;

  /// The same, and every id must lie in [0, vocab_size): the .bin is never trusted further than
  /// what is read. Errors: StorageError naming the byte offset of the first bad id.
  void read_checked(std::int64_t begin, std::span<std::int32_t> out, std::int64_t vocab_size) const;

  /// Nothing when PREFIX.json does not exist.
  const std::optional<ShardSidecar>& sidecar() const { return sidecar_; }

 private:
  TokenShard(std::string prefix, MappedFile index, MappedFile tokens);
  void check_header();
  void check_sequences();
  void check_documents();
  void check_sidecar() const;
  std::int64_t sequence_offset_bytes(std::int64_t sequence) const;

  std::string prefix_;
  MappedFile index_;
  MappedFile tokens_;
  TokenType type_ = TokenType::kInt32;
  std::int64_t num_sequences_ = 0;
  std::int64_t num_documents_ = 0;
  std::int64_t num_tokens_ = 0;
  std::optional<ShardSidecar> sidecar_;
};

}  // namespace hetmoe
