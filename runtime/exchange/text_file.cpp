#include "runtime/exchange/text_file.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <system_error>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/files/file_descriptor.h"
#include "core/files/read_failure.h"

namespace hetmoe {

std::string read_text_file(const std::filesystem::path& path, std::int64_t most_bytes) {
  const auto fail = [&](const std::string& reason) {
    throw StorageError("cannot read '" + path.string() + "': " + reason);
  };
  std::error_code failure;
  if (!std::filesystem::is_regular_file(path, failure)) {
    if (failure) fail_to_read("read", path, failure.value());
    fail("it is no regular file");
  }
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) fail_to_read("read", path, errno);
  const std::uintmax_t size = std::filesystem::file_size(path, failure);
  if (failure) fail_to_read("read", path, failure.value());
  if (std::cmp_greater(size, most_bytes)) {
    fail(detail::concatenate("it has ", size, " bytes, allowed: up to ", most_bytes));
  }
  std::string text(size, '\0');
  const std::int64_t bytes = read_fully(file.get(), 0, std::as_writable_bytes(std::span(text)));
  if (bytes < 0) fail_to_read("read", path, errno);
  text.resize(static_cast<std::size_t>(bytes));
  return text;
}

}  // namespace hetmoe
