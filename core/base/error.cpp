#include "core/base/error.h"

#include <new>

namespace hetmoe {
namespace {

/// LibTorch's allocator throws an error of its own.
bool says_memory_is_short(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return true;
  return std::string(error.what()).find("can't allocate memory") != std::string::npos;
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
