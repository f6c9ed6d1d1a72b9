#include "core/files/read_failure.h"

#include <cerrno>
#include <cstring>
#include <string>

#include "core/base/error.h"

namespace hetmoe {

void fail_to_read(const char* action, const std::filesystem::path& path, int failure) {
  const std::string text =
      "cannot " + std::string(action) + " '" + path.string() + "': " + std::strerror(failure);
  switch (failure) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
    case ENXIO:  // a socket
      throw StorageError(text);
    default:
      throw UnreadableError(text);
  }
}

}  // namespace hetmoe
