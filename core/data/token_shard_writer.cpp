#include "core/data/token_shard_writer.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <utility>

#include "core/base/check.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kNarrowVocabulary = 65500;
constexpr std::size_t kLengthsPerBlock = 65536;
constexpr std::int64_t kLengthBytes = sizeof(std::int32_t);

template <typename T>
void put(OutputFile& file, T value) {
  file.write(std::as_bytes(std::span(&value, 1)));
}

}  // namespace

TokenType token_type_for(std::int64_t vocab_size) {
  return vocab_size < kNarrowVocabulary ? TokenType::kUint16 : TokenType::kInt32;
}

bool kept_shard_is_there(const std::string& prefix, std::int64_t vocab_size, KeptShard kept) {
  const auto holds = [](const std::string& path, std::int64_t bytes) {
    std::error_code error;
    const auto size = std::filesystem::file_size(path, error);
    return !error && size >= static_cast<std::uintmax_t>(bytes);
  };
  return holds(prefix + ".bin.partial", kept.tokens * bytes_of(token_type_for(vocab_size))) &&
         holds(prefix + ".lengths.partial", kept.documents * kLengthBytes);
}

TokenShardWriter::TokenShardWriter(const std::string& prefix, std::int64_t vocab_size)
    : prefix_(prefix),
      vocab_size_(vocab_size),
      type_(token_type_for(vocab_size)),
      tokens_(prefix + ".bin"),
      index_(prefix + ".idx"),
      sidecar_(prefix + ".json"),
      lengths_(std::in_place, prefix + ".lengths") {}

TokenShardWriter::TokenShardWriter(const std::string& prefix, std::int64_t vocab_size,
                                   KeptShard kept)
    : prefix_(prefix),
      vocab_size_(vocab_size),
      type_(token_type_for(vocab_size)),
      tokens_(prefix + ".bin", kept.tokens * bytes_of(type_)),
      index_(prefix + ".idx"),
      sidecar_(prefix + ".json"),
      lengths_(std::in_place, prefix + ".lengths", kept.documents * kLengthBytes),
      num_tokens_(kept.tokens),
      num_documents_(kept.documents) {}

void TokenShardWriter::keep() {
  tokens_.keep();
  if (lengths_) lengths_->keep();
}

void TokenShardWriter::sync() {
  tokens_.sync();
  lengths_->sync();
}

void TokenShardWriter::append_document(std::span<const std::int32_t> tokens) {
  HETMOE_CHECK(tokens.size() <= std::numeric_limits<std::int32_t>::max(), "a document of ",
               tokens.size(), " tokens");
  for (const std::int32_t token : tokens) {
    HETMOE_CHECK(token >= 0 && token < vocab_size_, "token ", token, " of ", vocab_size_);
  }
  if (type_ == TokenType::kUint16) {
    narrow_.resize(tokens.size());
    std::transform(tokens.begin(), tokens.end(), narrow_.begin(),
                   [](std::int32_t token) { return static_cast<std::uint16_t>(token); });
    tokens_.write(std::as_bytes(std::span(narrow_)));
  } else {
    tokens_.write(std::as_bytes(tokens));
  }
  put(*lengths_, static_cast<std::int32_t>(tokens.size()));
  num_tokens_ += static_cast<std::int64_t>(tokens.size());
  ++num_documents_;
}

void TokenShardWriter::write_index() {
  index_.write(std::string("MMIDIDX\0\0", 9));
  put(index_, std::uint64_t{1});
  put(index_, static_cast<std::uint8_t>(type_));
  put(index_, static_cast<std::uint64_t>(num_documents_));      // one sequence per document
  put(index_, static_cast<std::uint64_t>(num_documents_ + 1));  // the last index closes the list
  std::vector<std::int32_t> block;
  const auto for_each_block = [&](auto&& action) {
    for (std::int64_t begin = 0; begin < num_documents_; begin += kLengthsPerBlock) {
      block.resize(std::min(kLengthsPerBlock, static_cast<std::size_t>(num_documents_ - begin)));
      lengths_->read_back(begin * kLengthBytes, std::as_writable_bytes(std::span(block)));
      action();
    }
  };
  for_each_block([&] { index_.write(std::as_bytes(std::span(block))); });
  std::int64_t offset_bytes = 0;
  for_each_block([&] {
    for (const std::int32_t length : block) {
      put(index_, offset_bytes);
      offset_bytes += length * bytes_of(type_);
    }
  });
  for (std::int64_t document = 0; document <= num_documents_; ++document) put(index_, document);
}

void TokenShardWriter::complete(ShardSidecar sidecar) {
  HETMOE_CHECK(lengths_.has_value(), prefix_, " is finished already");
  sidecar.documents = num_documents_;
  sidecar.tokens = num_tokens_;
  write_index();
  sidecar_.write(to_json(sidecar));
  tokens_.sync();
  sidecar_.sync();
  index_.sync();
}

void TokenShardWriter::seal(ShardSidecar sidecar) {
  complete(std::move(sidecar));
  keep();
  index_.keep();
  sidecar_.keep();
}

void TokenShardWriter::finish(ShardSidecar sidecar) {
  complete(std::move(sidecar));
  lengths_.reset();
  ::unlink((prefix_ + ".lengths.partial").c_str());  // where it was kept
  // An older index must not describe the new tokens, not even for a moment.
  ::unlink((prefix_ + ".idx").c_str());
  tokens_.commit();
  sidecar_.commit();
  index_.commit();
}

}  // namespace hetmoe
