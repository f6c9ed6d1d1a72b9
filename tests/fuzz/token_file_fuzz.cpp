// A file of any bytes is refused by a StorageError of one line, or is a source that keeps what
// TokenSource says: the tokens are those that stand at the file's end, documents begin in rising
// order, and where they begin does not depend on how the corpus is cut into windows.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/data/open_source.h"
#include "tests/support/temporary_folder.h"

namespace {

constexpr std::int64_t kAnyId = std::int64_t{1} << 31;

/// A file in memory behind this link, anew for every input. Lasts as long as the process.
void write_file(const std::string& path, const std::uint8_t* bytes, std::size_t size) {
  static const int descriptor = ::memfd_create("fuzz", MFD_CLOEXEC);
  static const int linked =
      ::symlink(("/proc/self/fd/" + std::to_string(descriptor)).c_str(), path.c_str());
  if (descriptor < 0 || linked != 0) std::abort();
  if (::ftruncate(descriptor, static_cast<off_t>(size)) != 0) std::abort();
  if (::pwrite(descriptor, bytes, size, 0) != static_cast<ssize_t>(size)) std::abort();
}

std::vector<std::int64_t> documents_in(const hetmoe::TokenSource& source,
                                       const std::vector<std::int32_t>& tokens,
                                       std::size_t window) {
  std::vector<std::int64_t> all;
  for (std::size_t begin = 0; begin < tokens.size(); begin += window) {
    const std::size_t count = std::min(window, tokens.size() - begin);
    std::vector<std::int64_t> starts;
    source.find_documents(static_cast<std::int64_t>(begin), std::span(tokens).subspan(begin, count),
                          starts);
    for (const std::int64_t start : starts) {
      HETMOE_CHECK(start >= 0 && start < static_cast<std::int64_t>(count), "outside the window");
      all.push_back(start + static_cast<std::int64_t>(begin));
      HETMOE_CHECK(all.size() < 2 || all[all.size() - 2] < all.back(), "not rising");
    }
  }
  return all;
}

void check_source(const hetmoe::TokenSource& source, const std::uint8_t* bytes, std::size_t size) {
  const auto token_bytes = static_cast<std::size_t>(hetmoe::bytes_of(source.token_type()));
  const auto count = static_cast<std::size_t>(source.num_tokens());
  HETMOE_CHECK(count * token_bytes <= size, count, " tokens in ", size, " bytes");
  std::vector<std::int32_t> tokens(count);
  source.read_checked(0, tokens, kAnyId);
  const std::uint8_t* stored = bytes + size - count * token_bytes;
  for (const std::int32_t token : tokens) {
    HETMOE_CHECK(std::memcmp(&token, stored, token_bytes) == 0, "another token than stands there");
    stored += token_bytes;
  }
  HETMOE_CHECK(documents_in(source, tokens, 3) == documents_in(source, tokens, count + 1),
               "windows decide where documents begin");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  static const hetmoe::TemporaryFolder folder;
  const std::string path = folder / "tokens";
  write_file(path, input, size);
  try {
    check_source(*hetmoe::open_token_source(path), input, size);
  } catch (const hetmoe::StorageError& error) {
    HETMOE_CHECK(std::string_view(error.what()).find('\n') == std::string_view::npos,
                 "an error of several lines");
  }
  return 0;
}
