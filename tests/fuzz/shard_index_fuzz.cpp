// A shard's index of any bytes is refused by a StorageError of one line, or keeps what TokenShard
// says: documents follow one another and cover the tokens, every token can be read and is found in
// the document that holds it. The first two bytes of the input are the size of the .bin.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/data/token_shard.h"
#include "tests/support/temporary_folder.h"

namespace {

/// A file in memory behind a link of this name: truncating one on a disk would take most of the
/// time. Lasts as long as the process.
class MemoryFile {
 public:
  explicit MemoryFile(const std::string& path) : descriptor_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    const std::string target = "/proc/self/fd/" + std::to_string(descriptor_);
    if (descriptor_ < 0 || ::symlink(target.c_str(), path.c_str()) != 0) std::abort();
  }

  /// Nothing but these bytes.
  void write(std::string_view bytes) const {
    const auto size = static_cast<off_t>(bytes.size());
    if (::ftruncate(descriptor_, size) != 0) std::abort();
    if (::pwrite(descriptor_, bytes.data(), bytes.size(), 0) != size) std::abort();
  }

 private:
  int descriptor_;
};

void check_documents(const hetmoe::TokenShard& shard) {
  const std::int64_t documents = shard.num_documents();
  HETMOE_CHECK(documents >= 0 && shard.document_begin(0) == 0, "does not begin at 0");
  HETMOE_CHECK(shard.document_begin(documents) == shard.num_tokens(), "tokens in no document");
  std::int64_t token = 0;
  for (std::int64_t document = 0; document < documents; ++document) {
    const std::int64_t end = shard.document_begin(document + 1);
    HETMOE_CHECK(end >= token, "document ", document, " ends at ", end, " before ", token);
    if (end > token) {
      HETMOE_CHECK(shard.document_at(token) == document, "first token of ", document);
      HETMOE_CHECK(shard.document_at(end - 1) == document, "last token of ", document);
    }
    token = end;
  }
}

void check_tokens(const hetmoe::TokenShard& shard, std::int64_t bin_bytes) {
  const std::int64_t token_bytes = hetmoe::bytes_of(shard.token_type());
  HETMOE_CHECK(shard.num_tokens() * token_bytes == bin_bytes, shard.num_tokens(), " tokens in ",
               bin_bytes, " bytes");
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(shard.num_tokens()));
  shard.read(0, tokens);
  // Every byte of the .bin is 1. Ids of 8 bytes do not fit: a StorageError.
  const std::int32_t expected = token_bytes == 1 ? 1 : token_bytes == 2 ? 0x0101 : 0x01010101;
  HETMOE_CHECK(std::ranges::all_of(tokens, [&](std::int32_t t) { return t == expected; }),
               "another token than stands there");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  static const hetmoe::TemporaryFolder folder;
  static const MemoryFile index(folder / "shard.idx");
  static const MemoryFile tokens(folder / "shard.bin");
  if (size < 2) return 0;
  const std::int64_t bin_bytes = input[0] + 256 * std::int64_t{input[1]};
  tokens.write(std::string(static_cast<std::size_t>(bin_bytes), '\x01'));
  index.write({reinterpret_cast<const char*>(input) + 2, size - 2});
  try {
    const hetmoe::TokenShard shard = hetmoe::TokenShard::open(folder / "shard");
    check_documents(shard);
    check_tokens(shard, bin_bytes);
  } catch (const hetmoe::StorageError& error) {
    HETMOE_CHECK(std::string_view(error.what()).find('\n') == std::string_view::npos,
                 "an error of several lines");
  }
  return 0;
}
