#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/data/shard_sidecar.h"
#include "core/data/token_shard.h"
#include "core/files/output_file.h"

namespace hetmoe {

/// The type Megatron picks for a vocabulary: uint16 below 65,500 tokens.
TokenType token_type_for(std::int64_t vocab_size);

/// What a writer kept of an unfinished shard.
struct KeptShard {
  std::int64_t documents = 0;
  std::int64_t tokens = 0;
};

/// Whether the kept files of PREFIX are long enough to hold that.
bool kept_shard_is_there(const std::string& prefix, std::int64_t vocab_size, KeptShard kept);

/// Writes PREFIX.bin, PREFIX.idx and PREFIX.json, one sequence per document, in bounded memory (the
/// lengths are spilled to PREFIX.lengths.partial). Nothing bears its final name before finish();
/// the .idx takes its name last, so that a crash at any point leaves no pair that could be opened.
/// Errors: StorageError naming the file and the system's reason.
class TokenShardWriter {
 public:
  TokenShardWriter(const std::string& prefix, std::int64_t vocab_size);
  /// Goes on behind the first `kept` documents and tokens of an unfinished shard, which an earlier
  /// writer of the same vocabulary kept and synced. StorageError where less is there.
  TokenShardWriter(const std::string& prefix, std::int64_t vocab_size, KeptShard kept);

  /// Ids must lie in [0, vocab_size). At most 2^31 - 1 tokens: the format's limit of a sequence.
  void append_document(std::span<const std::int32_t> tokens);

  std::int64_t num_tokens() const { return num_tokens_; }
  std::int64_t num_documents() const { return num_documents_; }

  /// From now on what was written stays, under its temporary names, when this object goes.
  void keep();
  /// What was appended so far reaches the disk.
  void sync();

  /// Commits the three files. `documents` and `tokens` of the sidecar are filled in here. Once.
  void finish(ShardSidecar sidecar);
  /// Instead of finish(): the three files are whole and synced, and stay as PREFIX.*.partial for
  /// the caller to rename, the .idx last. Once.
  void seal(ShardSidecar sidecar);

 private:
  void complete(ShardSidecar sidecar);
  void write_index();

  std::string prefix_;
  std::int64_t vocab_size_;
  TokenType type_;
  OutputFile tokens_;
  OutputFile index_;
  OutputFile sidecar_;
  std::optional<OutputFile> lengths_;  ///< spill file: the .idx wants all lengths first
  std::vector<std::uint16_t> narrow_;
  std::int64_t num_tokens_ = 0;
  std::int64_t num_documents_ = 0;
};

}  // namespace hetmoe
