#include "core/data/corpus_reader.h"

#include <string_view>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/data/json_lines_reader.h"
#include "core/data/utf8.h"

namespace hetmoe {
namespace {

/// Where the document reader would cut a text that begins here: behind the last line that fits,
/// where a line that is too long itself is cut between characters.
std::size_t end_of_piece(std::string_view text, std::size_t max_bytes) {
  std::size_t end = 0;
  while (end < text.size()) {
    const std::string_view rest = text.substr(end);
    const std::size_t line_end = rest.substr(0, max_bytes).find('\n');
    const std::size_t line_bytes =
        line_end == std::string_view::npos ? utf8_cut(rest, max_bytes) : line_end + 1;
    if (end > 0 && end + line_bytes > max_bytes) break;
    end += line_bytes;
  }
  return end;
}

}  // namespace

CorpusReader::CorpusReader(const std::vector<InputFile>& inputs, const CorpusOptions& options,
                           const CorpusPosition& begin)
    : inputs_(inputs),
      options_(options),
      input_(begin.input),
      separators_before_(begin.separators) {
  HETMOE_CHECK(input_ <= inputs_.size(), "input ", input_, " of ", inputs_.size());
  for (std::size_t i = 0; i < input_; ++i) file_bytes_before_ += inputs_[i].size_bytes;
  if (input_ < inputs_.size()) open(begin.within);
}

void CorpusReader::open(const ReadPosition& begin) {
  const InputFile& input = inputs_[input_];
  auto source = open_byte_source(input.path);
  if (input.format == InputFormat::kJsonLines) {
    reader_ = std::make_unique<JsonLinesReader>(input.path, std::move(source), begin);
  } else {
    reader_ = std::make_unique<DocumentReader>(std::move(source), options_.separator,
                                               options_.max_document_bytes, begin);
  }
}

bool CorpusReader::next(Record& out) {
  while (reader_ != nullptr) {
    if (reader_->next(out)) {
      out.input = input_;
      return true;
    }
    separators_before_ += reader_->num_separators();
    file_bytes_before_ += inputs_[input_].size_bytes;
    reader_.reset();
    if (++input_ < inputs_.size()) open({});
  }
  return false;
}

CorpusPosition CorpusReader::position() const {
  CorpusPosition position{.input = input_, .separators = separators_before_};
  if (reader_ != nullptr) {
    position.within = reader_->position();
    position.separators += reader_->num_separators();
  }
  return position;
}

std::int64_t CorpusReader::file_bytes() const {
  return file_bytes_before_ + (reader_ == nullptr ? 0 : reader_->file_bytes());
}

bool append_pieces(Record&& record, const InputFile& input, const CorpusOptions& options,
                   std::vector<Piece>& out) {
  if (input.format == InputFormat::kText) {
    out.push_back({.text = std::move(record.bytes), .continues = record.continues});
    return true;
  }
  JsonLine line = parse_json_line(record.bytes, options.json_field);
  if (!line.fault.empty()) {
    if (options.skip_invalid) return false;
    throw StorageError("'" + input.path + "' line " + std::to_string(record.line) + ": " +
                       line.fault);
  }
  std::string_view rest = line.text;
  const auto max_bytes = static_cast<std::size_t>(options.max_document_bytes);
  if (!rest.empty() && rest.size() <= max_bytes) {
    out.push_back({.text = std::move(line.text)});
    return true;
  }
  for (bool continues = false; !rest.empty(); continues = true) {
    const std::size_t end = end_of_piece(rest, max_bytes);
    out.push_back({.text = std::string(rest.substr(0, end)), .continues = continues});
    rest.remove_prefix(end);
  }
  return true;
}

}  // namespace hetmoe
