#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/data/mapped_file.h"
#include "core/data/token_source.h"

namespace hetmoe {

/// PREFIX.bin and PREFIX.idx, the pair of files that Megatron reads and writes, with PREFIX.json
/// beside it when we wrote it. Integers of every width; the modes of a multimodal corpus are
/// skipped. Never copies the corpus. Move-only.
/// Errors: StorageError of one line: file, byte offset, value found, value expected.
class TokenShard final : public TokenSource {
 public:
  /// Maps and checks everything but the tokens themselves. Cost: one pass over the .idx.
  static TokenShard open(const std::string& prefix);

  const std::string& name() const override { return prefix_; }
  std::string format() const override { return "Megatron"; }
  std::string vocabulary() const override { return ""; }
  TokenType token_type() const override { return type_; }
  std::int64_t num_files() const override { return 1; }
  std::int64_t num_tokens() const override { return num_tokens_; }
  std::int64_t num_documents() const { return num_documents_; }
  std::optional<std::int64_t> indexed_documents() const override { return num_documents_; }

  /// Offset of document i's first token, i in [0, num_documents()]; the last is num_tokens().
  std::int64_t document_begin(std::int64_t document) const;

  /// The document that holds a token in [0, num_tokens()). Cost: a binary search.
  std::int64_t document_at(std::int64_t token) const;

  /// Copies tokens [begin, begin + out.size()), a range of the shard. Ids of 64 bits must fit 32.
  void read(std::int64_t begin, std::span<std::int32_t> out) const;

  void read_checked(std::int64_t begin, std::span<std::int32_t> out,
                    std::int64_t vocab_size) const override;
  void find_documents(std::int64_t begin, std::span<const std::int32_t> tokens,
                      std::vector<std::int64_t>& starts) const override;
  const std::optional<ShardSidecar>& sidecar() const override { return sidecar_; }

 private:
  TokenShard(std::string prefix, MappedFile index, MappedFile tokens);
  void check_header();
  void check_sequences();
  void check_documents();
  void check_sidecar() const;
  void copy(std::int64_t begin, std::int64_t lowest, std::int64_t highest,
            std::span<std::int32_t> out) const;
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
