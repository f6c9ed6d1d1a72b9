// A file of any bytes, read as text or as JSON lines, plain, gzip or zstd, is refused by a
// StorageError of one line or gives documents; a second reader that begins between any two records
// gives what the first one gave. The first byte of the input chooses format, separator and limit.

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/data/corpus_reader.h"
#include "core/data/utf8.h"

namespace {

using hetmoe::CorpusOptions;
using hetmoe::CorpusPosition;
using hetmoe::CorpusReader;
using hetmoe::InputFile;
using hetmoe::Piece;
using hetmoe::Record;

constexpr std::size_t kMostResumed = 5;

/// A file in memory: truncating one on a disk would take most of the time.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    if (descriptor_ < 0) std::abort();
  }
  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }
  void write(const std::uint8_t* bytes, std::size_t size) const {
    if (::ftruncate(descriptor_, 0) != 0) std::abort();
    if (::pwrite(descriptor_, bytes, size, 0) != static_cast<ssize_t>(size)) std::abort();
  }

 private:
  int descriptor_;
};

void check_pieces(Record record, const InputFile& input, const CorpusOptions& options) {
  std::vector<Piece> pieces;
  hetmoe::append_pieces(std::move(record), input, options, pieces);
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const std::string& text = pieces[i].text;
    HETMOE_CHECK(!text.empty(), "a document without text");
    HETMOE_CHECK(static_cast<std::int64_t>(text.size()) <= options.max_document_bytes,
                 "a piece of ", text.size(), " bytes");
    if (input.format == hetmoe::InputFormat::kText) continue;
    HETMOE_CHECK(hetmoe::first_invalid_utf8(text) == text.size(), "JSON that is not UTF-8");
    HETMOE_CHECK(pieces[i].continues == (i > 0), "piece ", i);
  }
}

void check_resumed(const std::vector<InputFile>& inputs, const CorpusOptions& options,
                   const std::vector<CorpusPosition>& positions,
                   const std::vector<Record>& records) {
  for (std::size_t i = 0; i < positions.size() && i < kMostResumed; ++i) {
    CorpusReader rest(inputs, options, positions[i]);
    Record record;
    for (std::size_t j = i; j < records.size(); ++j) {
      HETMOE_CHECK(rest.next(record), "ends before record ", j);
      HETMOE_CHECK(record.bytes == records[j].bytes && record.line == records[j].line &&
                       record.continues == records[j].continues,
                   "another record ", j, " from ", i);
    }
    HETMOE_CHECK(!rest.next(record), "more than the whole");
  }
}

void read(const std::vector<InputFile>& inputs, const CorpusOptions& options) {
  CorpusReader reader(inputs, options);
  std::vector<Record> records;
  std::vector<CorpusPosition> positions = {reader.position()};
  for (Record record; reader.next(record);) {
    records.push_back(record);
    positions.push_back(reader.position());
  }
  check_resumed(inputs, options, positions, records);
  for (const Record& record : records) check_pieces(record, inputs[record.input], options);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  static const MemoryFile file;
  static constexpr std::array kSeparators = {"file", "blank-line", "unindented-line", "%%"};
  if (size < 1) return 0;
  file.write(input + 1, size - 1);
  CorpusOptions options;
  options.separator = hetmoe::DocumentSeparator::parse(kSeparators[input[0] & 3]);
  options.max_document_bytes = (input[0] & 4) == 0 ? 16 : 1 << 20;
  InputFile described;
  described.path = file.path();
  described.size_bytes = static_cast<std::int64_t>(size - 1);
  if ((input[0] & 8) != 0) described.format = hetmoe::InputFormat::kJsonLines;
  try {
    read({described}, options);
  } catch (const hetmoe::StorageError& error) {
    HETMOE_CHECK(std::string_view(error.what()).find('\n') == std::string_view::npos,
                 "an error of several lines");
  }
  return 0;
}
