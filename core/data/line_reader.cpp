#include "core/data/line_reader.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "core/base/check.h"
#include "core/data/utf8.h"

namespace hetmoe {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{1} << 18;

}  // namespace

LineReader::LineReader(std::unique_ptr<ByteSource> source, std::int64_t max_line_bytes,
                       std::int64_t begin_bytes, bool begins_line)
    : source_(std::move(source)),
      max_line_bytes_(static_cast<std::size_t>(max_line_bytes)),
      begin_bytes_(begin_bytes),
      next_begin_bytes_(begin_bytes),
      begins_line_(begins_line),
      next_begins_line_(begins_line) {
  HETMOE_CHECK(max_line_bytes >= 4, "a line of at most ", max_line_bytes, " bytes");
  if (begin_bytes > 0) source_->skip(begin_bytes);
}

bool LineReader::fill_block() {
  block_.resize(kBlockBytes);
  block_.resize(source_->read(block_));
  block_position_ = 0;
  return !block_.empty();
}

bool LineReader::next(std::string& line) {
  line.clear();
  while (line.size() <= max_line_bytes_) {
    if (block_position_ == block_.size() && !fill_block()) break;
    const std::string_view rest = std::string_view(block_).substr(block_position_);
    const std::size_t room = max_line_bytes_ + 1 - line.size();
    const std::size_t line_end = rest.find('\n');
    const std::size_t count =
        std::min(line_end == std::string_view::npos ? rest.size() : line_end + 1, room);
    line += rest.substr(0, count);
    block_position_ += count;
    if (line.back() == '\n' && line.size() <= max_line_bytes_) break;
  }
  if (line.size() > max_line_bytes_) {
    const std::size_t cut = utf8_cut(line, max_line_bytes_);
    // What is handed back: at most four bytes, put in front of the rest of the block.
    block_.replace(0, block_position_, line.substr(cut));
    block_position_ = 0;
    line.resize(cut);
  }
  if (line.empty()) return false;
  begins_line_ = std::exchange(next_begins_line_, line.back() == '\n');
  begin_bytes_ = next_begin_bytes_;
  next_begin_bytes_ += static_cast<std::int64_t>(line.size());
  return true;
}

}  // namespace hetmoe
