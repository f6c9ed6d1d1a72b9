#include "core/data/document_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/data/utf8.h"

namespace hetmoe {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{1} << 20;
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

DocumentReader::DocumentReader(const std::string& path, DocumentSeparator separator,
                               std::int64_t max_document_bytes)
    : path_(path),
      separator_(std::move(separator)),
      max_document_bytes_(static_cast<std::size_t>(max_document_bytes)) {
  HETMOE_CHECK(max_document_bytes >= 4, "a document of at most ", max_document_bytes, " bytes");
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) {
    throw StorageError("cannot open '" + path + "': " + std::strerror(errno));
  }
}

DocumentReader::~DocumentReader() { ::close(descriptor_); }

bool DocumentReader::fill_block() {
  block_.resize(kBlockBytes);
  ssize_t got = 0;
  do {
    got = ::read(descriptor_, block_.data(), block_.size());
  } while (got < 0 && errno == EINTR);
  if (got < 0) throw StorageError("cannot read '" + path_ + "': " + std::strerror(errno));
  block_.resize(static_cast<std::size_t>(got));
  block_position_ = 0;
  return got > 0;
}

// A line longer than a document may be is cut between characters; the rest comes as the next line.
bool DocumentReader::read_line() {
  line_is_whole_begin_ = line_.empty() || line_.back() == '\n';
  line_begin_bytes_ = read_bytes_;
  line_.clear();
  while (line_.size() <= max_document_bytes_) {
    if (block_position_ == block_.size() && !fill_block()) break;
    const std::string_view rest = std::string_view(block_).substr(block_position_);
    const std::size_t room = max_document_bytes_ + 1 - line_.size();
    const std::size_t line_end = rest.find('\n');
    const std::size_t count =
        std::min(line_end == std::string_view::npos ? rest.size() : line_end + 1, room);
    line_ += rest.substr(0, count);
    block_position_ += count;
    if (line_.back() == '\n' && line_.size() <= max_document_bytes_) break;
  }
  if (line_.size() > max_document_bytes_) {
    const std::size_t cut = utf8_cut(line_, max_document_bytes_);
    // What is handed back: at most four bytes, put in front of the rest of the block.
    block_.replace(0, block_position_, line_.substr(cut));
    block_position_ = 0;
    line_.resize(cut);
  }
  read_bytes_ += static_cast<std::int64_t>(line_.size());
  return !line_.empty();
}

bool DocumentReader::separates() const {
  if (!line_is_whole_begin_) return false;
  if (separator_.kind == DocumentSeparator::Kind::kBlankLine) return is_blank(line_);
  return separator_.kind == DocumentSeparator::Kind::kLine &&
         without_line_end(line_) == separator_.line;
}

bool DocumentReader::begins_document() const {
  return separator_.kind == DocumentSeparator::Kind::kUnindentedLine && line_is_whole_begin_ &&
         previous_line_blank_ && kWhiteSpace.find(line_.front()) == std::string_view::npos;
}

// The white space before a separator belongs to nobody; between two pieces of one document it
// stays.
bool DocumentReader::close(Document& out) const {
  if (separator_.kind != DocumentSeparator::Kind::kFile && !cut_) {
    out.text.resize(out.text.find_last_not_of(kWhiteSpace) + 1);  // npos + 1 is 0
  }
  return !out.text.empty();
}

bool DocumentReader::next(Document& out) {
  out.text.clear();
  out.continues = std::exchange(cut_, false);
  bool waiting = std::exchange(line_waits_, false);
  for (; waiting || read_line(); waiting = false) {
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
    if (out.text.empty()) {
      const bool leading = separator_.kind != DocumentSeparator::Kind::kFile && !out.continues;
      if (leading && is_blank(line_)) continue;
      out.begin_bytes = line_begin_bytes_;
    } else if (out.text.size() + line_.size() > max_document_bytes_) {
      cut_ = line_waits_ = true;
      return close(out);
    }
    out.text += line_;
  }
  return close(out);
}

}  // namespace hetmoe
