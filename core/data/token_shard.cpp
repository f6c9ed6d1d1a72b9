#include "core/data/token_shard.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"

namespace hetmoe {
namespace {

constexpr std::array<char, 9> kMagic = {'M', 'M', 'I', 'D', 'I', 'D', 'X', '\0', '\0'};
constexpr std::int64_t kVersionOffset = 9;
constexpr std::int64_t kTypeOffset = 17;
constexpr std::int64_t kSequencesOffset = 18;
constexpr std::int64_t kDocumentsOffset = 26;
constexpr std::int64_t kHeaderBytes = 34;

constexpr std::uint8_t kFloat64Code = 6;
constexpr std::uint8_t kFloat32Code = 7;

std::string decimal(std::int64_t value) { return std::to_string(value); }

std::string text_of_code(std::uint8_t code) {
  std::string text = "token type code " + std::to_string(code);
  if (code == kFloat64Code) text += " (float64)";
  if (code == kFloat32Code) text += " (float32)";
  return text;
}

}  // namespace

TokenShard TokenShard::open(const std::string& prefix) {
  return {prefix, MappedFile(prefix + ".idx"), MappedFile(prefix + ".bin")};
}

TokenShard::TokenShard(std::string prefix, MappedFile index, MappedFile tokens)
    : prefix_(std::move(prefix)), index_(std::move(index)), tokens_(std::move(tokens)) {
  check_header();
  check_sequences();
  check_documents();
  sidecar_ = read_sidecar(prefix_ + ".json");
  check_sidecar();
}

void TokenShard::check_header() {
  const std::int64_t size_bytes = index_.size_bytes();
  if (size_bytes < kHeaderBytes) {
    refuse_bytes(index_, size_bytes, "the end of the file", "a header of 34 bytes");
  }
  if (std::memcmp(index_.bytes().data(), kMagic.data(), kMagic.size()) != 0) {
    refuse_bytes(index_, 0, "foreign bytes", "'MMIDIDX' and two zero bytes");
  }
  const auto version = load<std::uint64_t>(index_, kVersionOffset);
  if (version != 1) refuse_bytes(index_, kVersionOffset, "version " + std::to_string(version), "1");
  const auto code = load<std::uint8_t>(index_, kTypeOffset);
  const std::optional<TokenType> type = token_type_of_code(code);
  if (!type) {
    refuse_bytes(index_, kTypeOffset, text_of_code(code),
                 "1 (uint8), 2 (int8), 3 (int16), 4 (int32), 5 (int64) or 8 (uint16)");
  }
  type_ = *type;

  // Divisions, so that no product of hostile counts can overflow.
  const auto body_bytes = static_cast<std::uint64_t>(size_bytes - kHeaderBytes);
  const auto sequences = load<std::uint64_t>(index_, kSequencesOffset);
  if (sequences > body_bytes / 12) {
    refuse_bytes(index_, kSequencesOffset, std::to_string(sequences) + " sequences",
                 "at most " + std::to_string(body_bytes / 12) + " in a file of " +
                     decimal(size_bytes) + " bytes");
  }
  const auto documents = load<std::uint64_t>(index_, kDocumentsOffset);
  const std::uint64_t rest_bytes = body_bytes - 12 * sequences;
  if (documents < 1 || documents > rest_bytes / 8) {
    refuse_bytes(index_, kDocumentsOffset, std::to_string(documents) + " document indices",
                 "1 to " + std::to_string(rest_bytes / 8) + " in a file of " + decimal(size_bytes) +
                     " bytes");
  }
  // Multimodal corpora carry one more byte per sequence, which text does not need.
  const std::uint64_t tail_bytes = rest_bytes - 8 * documents;
  if (tail_bytes != 0 && tail_bytes != sequences) {
    refuse_bytes(index_, size_bytes - static_cast<std::int64_t>(tail_bytes),
                 std::to_string(tail_bytes) + " bytes after the arrays", "the end of the file");
  }
  num_sequences_ = static_cast<std::int64_t>(sequences);
  num_documents_ = static_cast<std::int64_t>(documents) - 1;
}

std::int64_t TokenShard::sequence_offset_bytes(std::int64_t sequence) const {
  return load<std::int64_t>(index_, kHeaderBytes + 4 * num_sequences_ + 8 * sequence);
}

void TokenShard::check_sequences() {
  const std::int64_t token_bytes = bytes_of(type_);
  std::int64_t expected_offset = 0;
  for (std::int64_t sequence = 0; sequence < num_sequences_; ++sequence) {
    const std::int64_t length_at = kHeaderBytes + 4 * sequence;
    const auto length = load<std::int32_t>(index_, length_at);
    const std::int64_t room = (tokens_.size_bytes() - expected_offset) / token_bytes;
    if (length < 0 || length > room) {
      refuse_bytes(index_, length_at, "sequence length " + decimal(length),
                   "0 to " + decimal(room) + " (what remains of " + tokens_.path() + ")");
    }
    const std::int64_t offset = sequence_offset_bytes(sequence);
    if (offset != expected_offset) {
      refuse_bytes(index_, kHeaderBytes + 4 * num_sequences_ + 8 * sequence,
                   "sequence offset " + decimal(offset),
                   decimal(expected_offset) + " (the end of the sequence before)");
    }
    expected_offset += length * token_bytes;
  }
  if (expected_offset != tokens_.size_bytes()) {
    refuse_bytes(tokens_, std::min(expected_offset, tokens_.size_bytes()),
                 "a file of " + decimal(tokens_.size_bytes()) + " bytes",
                 decimal(expected_offset) + " bytes by " + index_.path());
  }
  num_tokens_ = expected_offset / token_bytes;
}

void TokenShard::check_documents() {
  const std::int64_t indices_at = kHeaderBytes + 12 * num_sequences_;
  std::int64_t previous = 0;
  for (std::int64_t document = 0; document <= num_documents_; ++document) {
    const auto index = load<std::int64_t>(index_, indices_at + 8 * document);
    const std::int64_t low = document == num_documents_ ? num_sequences_ : previous;
    const std::int64_t high = document == 0 ? 0 : num_sequences_;
    if (index < low || index > high) {
      refuse_bytes(index_, indices_at + 8 * document, "document index " + decimal(index),
                   low == high ? decimal(low) : decimal(low) + " to " + decimal(high));
    }
    previous = index;
  }
}

void TokenShard::check_sidecar() const {
  if (!sidecar_) return;
  const auto compare = [&](const char* key, std::int64_t told, std::int64_t held) {
    if (told == held) return;
    throw StorageError(prefix_ + ".json: '" + key + "' is " + decimal(told) + ", but " +
                       index_.path() + " holds " + decimal(held));
  };
  compare("tokens", sidecar_->tokens, num_tokens_);
  compare("documents", sidecar_->documents, num_documents_);
}

std::int64_t TokenShard::document_begin(std::int64_t document) const {
  HETMOE_CHECK(document >= 0 && document <= num_documents_, "document ", document, " of ",
               num_documents_);
  const auto sequence =
      load<std::int64_t>(index_, kHeaderBytes + 12 * num_sequences_ + 8 * document);
  if (sequence == num_sequences_) return num_tokens_;
  return sequence_offset_bytes(sequence) / bytes_of(type_);
}

std::int64_t TokenShard::document_at(std::int64_t token) const {
  HETMOE_CHECK(token >= 0 && token < num_tokens_, "token ", token, " of ", num_tokens_);
  std::int64_t low = 0;  // the last document that begins at or before the token
  std::int64_t high = num_documents_;
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (document_begin(middle) <= token ? low : high) = middle;
  }
  return low;
}

void TokenShard::copy(std::int64_t begin, std::int64_t lowest, std::int64_t highest,
                      std::span<std::int32_t> out) const {
  const auto count = static_cast<std::int64_t>(out.size());
  HETMOE_CHECK(begin >= 0 && begin <= num_tokens_ && count <= num_tokens_ - begin, "tokens [",
               begin, ", ", begin, " + ", count, ") of ", num_tokens_);
  copy_tokens(tokens_, begin * bytes_of(type_), type_, lowest, highest, out);
}

void TokenShard::read(std::int64_t begin, std::span<std::int32_t> out) const {
  copy(begin, std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max(),
       out);
}

void TokenShard::read_checked(std::int64_t begin, std::span<std::int32_t> out,
                              std::int64_t vocab_size) const {
  copy(begin, 0, vocab_size - 1, out);
}

void TokenShard::find_documents(std::int64_t begin, std::span<const std::int32_t> tokens,
                                std::vector<std::int64_t>& starts) const {
  if (tokens.empty()) return;
  const std::int64_t end = begin + static_cast<std::int64_t>(tokens.size());
  std::int64_t last = -1;
  for (std::int64_t document = document_at(begin); document < num_documents_; ++document) {
    const std::int64_t first_token = document_begin(document);
    if (first_token >= end) break;
    if (first_token < begin || first_token == last) continue;
    starts.push_back(first_token - begin);
    last = first_token;  // of several at one place all but the last are empty
  }
}

}  // namespace hetmoe
