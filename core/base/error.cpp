#include "core/base/error.h"

#include <new>

namespace hetmoe {
namespace {

/// LibTorch's allocators throw errors of their own.
bool says_memory_is_short(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return true;
  const std::string text = error.what();
  return text.find("can't allocate memory") != std::string::npos ||
         text.find("out of memory") != std::string::npos;  // a GPU's
}

}  // namespace

std::string describe(const std::exception& error) {
  if (dynamic_cast<const Error*>(&error) != nullptr) return error.what();
  if (says_memory_is_short(error)) {
    return "out of memory: use more ranks, a smaller model, or more train.microbatches";
  }
  const std::string text = error.what();
  return "internal error: " + text.substr(0, text.find('\n'));
}

}  // namespace hetmoe
