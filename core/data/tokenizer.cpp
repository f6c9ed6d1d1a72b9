#include "core/data/tokenizer.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>

#include "core/base/error.h"
#include "core/data/byte_tokenizer.h"
#include "core/data/huggingface_tokenizer.h"
#include "core/data/sentencepiece_tokenizer.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;

constexpr std::streamsize kHeadBytes = 4096;

/// JSON's white space goes; at the end of the text nothing is left.
void skip_space(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
}

}  // namespace

void Tokenizer::encode(std::string_view text, std::vector<std::int32_t>& out) {
  std::vector<std::vector<std::int32_t>> results;
  encode(std::span(&text, 1), results);
  out = std::move(results.front());
}

std::string tokenizer_file(const std::string& path) {
  std::error_code unreadable;
  if (fs::is_regular_file(path, unreadable)) return path;
  for (const char* name : {"tokenizer.json", "tokenizer.model"}) {
    const fs::path inside = fs::path(path) / name;
    if (fs::is_regular_file(inside, unreadable)) return inside.string();
  }
  throw ConfigError("tokenizer is '" + path +
                    "', must be 'bytes' or the path of a SentencePiece model, of a tokenizer.json "
                    "or of a folder that holds one of them");
}

// An object begins with '{' and a key. A model is a protocol buffer: 0x0A (which JSON would skip),
// a length, 0x0A again.
bool is_tokenizer_json(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  std::array<char, kHeadBytes> head{};
  stream.read(head.data(), kHeadBytes);
  if (stream.bad() || !stream.is_open()) throw StorageError("cannot read '" + file + "'");
  std::string_view text(head.data(), static_cast<std::size_t>(stream.gcount()));
  skip_space(text);
  if (!text.starts_with('{')) return false;
  text.remove_prefix(1);
  skip_space(text);
  return text.starts_with('"');
}

std::unique_ptr<Tokenizer> make_tokenizer(const std::string& bytes_or_path,
                                          const std::string& executable) {
  if (bytes_or_path == "bytes") return std::make_unique<ByteTokenizer>();
  const std::string file = tokenizer_file(bytes_or_path);
  if (is_tokenizer_json(file)) return std::make_unique<HuggingFaceTokenizer>(file);
  return std::make_unique<SentencePieceTokenizer>(file, executable);
}

}  // namespace hetmoe
