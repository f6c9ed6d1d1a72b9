#include "launcher/prompt_source.h"

#include <cerrno>
#include <fstream>
#include <iostream>
#include <istream>

#include "core/base/error.h"
#include "core/files/read_failure.h"

namespace hetmoe {
namespace {

/// Far more than the longest sequence takes.
constexpr std::size_t kMostBytes = std::size_t{16} << 20;

std::string read_all(std::istream& in, const std::string& name) {
  std::string text(kMostBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad()) throw StorageError("--prompt-file " + name + ": cannot be read");
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > kMostBytes) {
    throw StorageError("--prompt-file " + name + ": more than " + std::to_string(kMostBytes) +
                       " bytes");
  }
  return text;
}

std::string read_prompt_file(const std::string& name) {
  if (name == "-") return read_all(std::cin, name);
  std::ifstream file(name, std::ios::binary);
  if (!file) fail_to_read("open", name, errno);
  return read_all(file, name);
}

}  // namespace

std::string read_prompt(const std::string& text, const std::string& file) {
  std::string prompt = file.empty() ? text : read_prompt_file(file);
  if (!file.empty() && prompt.ends_with('\n')) prompt.pop_back();
  if (!prompt.empty()) return prompt;
  throw ConfigError((file.empty() ? std::string("--prompt") : "--prompt-file " + file) +
                    ": empty, allowed: text of at least one token");
}

}  // namespace hetmoe
