#include "core/data/compressed_source.h"

#include <algorithm>

#include "core/base/error.h"

namespace hetmoe {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{1} << 18;
constexpr std::int64_t kSkipBytes = std::int64_t{1} << 18;

}  // namespace

std::span<char> CompressedSource::next_block() {
  block_.resize(kBlockBytes);
  return std::span(block_).first(file_.read(block_));
}

std::string CompressedSource::place(std::size_t unused_bytes) const {
  return "'" + file_.path() + "' at byte " +
         std::to_string(file_.file_bytes() - static_cast<std::int64_t>(unused_bytes)) + ": ";
}

void CompressedSource::skip(std::int64_t count_bytes) {
  std::vector<char> passed(static_cast<std::size_t>(kSkipBytes));
  while (count_bytes > 0) {
    const auto wanted = static_cast<std::size_t>(std::min(count_bytes, kSkipBytes));
    const std::size_t got = read(std::span(passed).first(wanted));
    if (got == 0) {
      throw StorageError(place(0) + "ends " + std::to_string(count_bytes) +
                         " uncompressed bytes before the place to go on from");
    }
    count_bytes -= static_cast<std::int64_t>(got);
  }
}

}  // namespace hetmoe
