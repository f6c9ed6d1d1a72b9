#include "core/data/encode_batch.h"

#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/error.h"
#include "core/data/utf8.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kBatchBytes = std::int64_t{1} << 20;
constexpr std::size_t kRequestBytes = std::size_t{1} << 20;  // of one call of the tokenizer

void check_text(const InputFile& input, const Record& record) {
  const std::size_t bad = first_invalid_utf8(record.bytes);
  if (bad == record.bytes.size()) return;
  throw StorageError(input.path + ": at byte " +
                     std::to_string(record.begin_bytes + static_cast<std::int64_t>(bad)) +
                     ": not UTF-8, which this tokenizer needs");
}

/// The documents from `begin` on that one call takes: at least one.
std::size_t end_of_request(const std::vector<Piece>& pieces, std::size_t begin) {
  std::size_t bytes = pieces[begin].text.size();
  std::size_t end = begin + 1;
  while (end < pieces.size() && bytes + pieces[end].text.size() <= kRequestBytes) {
    bytes += pieces[end++].text.size();
  }
  return end;
}

}  // namespace

bool read_batch(CorpusReader& reader, EncodeBatch& batch) {
  bool more = true;
  while (more && batch.record_bytes < kBatchBytes) {
    Record record;
    more = reader.next(record);
    if (!more) break;
    batch.record_bytes += static_cast<std::int64_t>(record.bytes.size() + sizeof(record));
    batch.records.push_back(std::move(record));
  }
  batch.end = reader.position();
  batch.file_bytes = reader.file_bytes();
  return more;
}

void encode_batch(const std::vector<InputFile>& inputs, const CorpusOptions& options,
                  Tokenizer& tokenizer, EncodeBatch& batch) {
  std::vector<Piece> pieces;
  for (Record& record : std::exchange(batch.records, {})) {
    const InputFile& input = inputs[record.input];
    const bool is_text = input.format == InputFormat::kText;
    if (is_text && !tokenizer.keeps_every_byte()) check_text(input, record);
    if (!append_pieces(std::move(record), input, options, pieces)) ++batch.skipped_lines;
  }
  std::vector<std::vector<std::int32_t>> tokens;
  for (std::size_t begin = 0, end = 0; begin < pieces.size(); begin = end) {
    end = end_of_request(pieces, begin);
    const std::span<const Piece> request(pieces.data() + begin, end - begin);
    std::vector<std::string_view> texts;
    for (const Piece& piece : request) texts.push_back(piece.text);
    tokenizer.encode(texts, tokens);
    for (std::size_t i = 0; i < request.size(); ++i) {
      tokens[i].push_back(tokenizer.end_of_document());
      batch.documents.push_back({.tokens = std::move(tokens[i]),
                                 .raw_bytes = static_cast<std::int64_t>(texts[i].size()),
                                 .continues = request[i].continues});
    }
  }
}

}  // namespace hetmoe
