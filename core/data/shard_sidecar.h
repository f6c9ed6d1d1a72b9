#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace hetmoe {

/// What PREFIX.json tells about the shard PREFIX.bin + PREFIX.idx beside it.
struct ShardSidecar {
  std::string tokenizer_name;         ///< "bytes", "sentencepiece" or "huggingface"
  std::int64_t vocab_size = 0;        ///< every token id is below it
  std::string tokenizer_digest;       ///< "xxh3-128:<32 hex digits>"
  std::int32_t end_of_document = -1;  ///< id that ends every document; -1: none
  std::int64_t raw_bytes = 0;         ///< bytes of text the tokens stand for (bits per byte)
  std::int64_t documents = 0;
  std::int64_t tokens = 0;  ///< end-of-document tokens included
};

std::string to_json(const ShardSidecar& sidecar);

/// Reads PATH. Gives nothing when the file does not exist (a shard that Megatron wrote has none).
/// Errors: StorageError naming the file and the key that is missing, mistyped or out of range.
std::optional<ShardSidecar> read_sidecar(const std::string& path);

}  // namespace hetmoe
