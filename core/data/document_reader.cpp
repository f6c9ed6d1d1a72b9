#include "core/data/document_reader.h"

#include <string_view>
#include <utility>

#include "core/base/error.h"

namespace hetmoe {
namespace {

constexpr std::string_view kWhiteSpace = " \t\r\n";

std::string_view without_line_end(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of(kWhiteSpace) == std::string_view::npos;
}

}  // namespace

DocumentSeparator DocumentSeparator::parse(const std::string& text) {
  if (text.empty() || text.find('\n') != std::string::npos) {
    throw ConfigError(
        "document separator must be file, blank-line, unindented-line or the text of one line");
  }
  if (text == "file") return {Kind::kFile, ""};
  if (text == "blank-line") return {Kind::kBlankLine, ""};
  if (text == "unindented-line") return {Kind::kUnindentedLine, ""};
  return {Kind::kLine, text};
}

DocumentReader::DocumentReader(std::unique_ptr<ByteSource> source, DocumentSeparator separator,
                               std::int64_t max_document_bytes, const ReadPosition& begin)
    : separator_(std::move(separator)),
      max_document_bytes_(static_cast<std::size_t>(max_document_bytes)),
      lines_(std::move(source), max_document_bytes, begin.bytes, begin.begins_line),
      previous_line_blank_(begin.previous_line_blank),
      cut_(begin.cut) {
  if (begin.line_waits) line_waits_ = lines_.next(line_);
}

ReadPosition DocumentReader::position() const {
  return {.bytes = line_waits_ ? lines_.begin_bytes() : lines_.next_begin_bytes(),
          .begins_line = line_waits_ ? lines_.begins_line() : lines_.next_begins_line(),
          .line_waits = line_waits_,
          .previous_line_blank = previous_line_blank_,
          .cut = cut_};
}

bool DocumentReader::separates() const {
  if (!lines_.begins_line()) return false;
  if (separator_.kind == DocumentSeparator::Kind::kBlankLine) return is_blank(line_);
  return separator_.kind == DocumentSeparator::Kind::kLine &&
         without_line_end(line_) == separator_.line;
}

bool DocumentReader::begins_document() const {
  return separator_.kind == DocumentSeparator::Kind::kUnindentedLine && lines_.begins_line() &&
         previous_line_blank_ && kWhiteSpace.find(line_.front()) == std::string_view::npos;
}

// The white space before a separator belongs to nobody; between two pieces of one document it
// stays.
bool DocumentReader::close(Record& out) const {
  if (separator_.kind != DocumentSeparator::Kind::kFile && !cut_) {
    out.bytes.resize(out.bytes.find_last_not_of(kWhiteSpace) + 1);  // npos + 1 is 0
  }
  return !out.bytes.empty();
}

bool DocumentReader::next(Record& out) {
  out.bytes.clear();
  out.continues = std::exchange(cut_, false);
  bool waiting = std::exchange(line_waits_, false);
  for (; waiting || lines_.next(line_); waiting = false) {
    if (!waiting) {
      const bool separator = separates();
      line_waits_ = begins_document();
      previous_line_blank_ = is_blank(line_);
      if (separator || line_waits_) {
        ++num_separators_;
        if (close(out)) return true;
        out.continues = line_waits_ = false;
      }
      if (separator) continue;
    }
    if (out.bytes.empty()) {
      const bool leading = separator_.kind != DocumentSeparator::Kind::kFile && !out.continues;
      if (leading && is_blank(line_)) continue;
      out.begin_bytes = lines_.begin_bytes();
    } else if (out.bytes.size() + line_.size() > max_document_bytes_) {
      cut_ = line_waits_ = true;
      return close(out);
    }
    out.bytes += line_;
  }
  return close(out);
}

}  // namespace hetmoe
