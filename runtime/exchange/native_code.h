#pragma once

#include <span>
#include <string_view>

namespace hetmoe {

/// A Python file that travels with a model of our own class: transformers loads it with
/// trust_remote_code. Its text is that of the folder native, taken in when the program is built.
struct NativeCode {
  std::string_view file_name, text;
};
std::span<const NativeCode> native_code();

}  // namespace hetmoe
