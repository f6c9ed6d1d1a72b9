#include "core/base/check.h"

#include <string_view>

#include "core/base/error.h"

namespace hetmoe::detail {

void check_failed(const char* file, int line, const char* condition, const std::string& message) {
  std::string_view path(file);
  for (std::string_view room : {"/core/", "/parallel/", "/runtime/", "/launcher/", "/tests/"}) {
    if (const auto at = path.rfind(room); at != std::string_view::npos) path.remove_prefix(at + 1);
  }
  throw InternalError(concatenate(path, ":", line, ": check '", condition, "' failed: ", message));
}

}  // namespace hetmoe::detail
