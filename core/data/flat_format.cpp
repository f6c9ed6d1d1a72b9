#include "core/data/flat_format.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "core/base/error.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kHeaderBytes = 1024;  // 256 numbers of 32 bits
constexpr std::int64_t kVersionOffset = 4;
constexpr std::int64_t kCountOffset = 8;
constexpr std::int32_t kEvaluationMagic = 20240522;
constexpr std::int32_t kGpt2EndOfText = 50256;
constexpr std::int32_t kLlama3BeginOfText = 128000;
constexpr std::size_t kProbeBytes = 4096;

struct LlmC {
  std::int32_t magic;
  std::int32_t version;
  FlatFormat format;
};

constexpr auto kLlmC = std::to_array<LlmC>({
    {20240520,
     1,
     {"llm.c version 1", kHeaderBytes, TokenType::kUint16, "GPT-2", kGpt2EndOfText, true}},
    {20240801,
     7,
     {"llm.c version 7", kHeaderBytes, TokenType::kUint32, "Llama 3", kLlama3BeginOfText, true}},
});

// Character-level files have the same form, so that it names no vocabulary.
constexpr FlatFormat kNanoGpt = {"nanoGPT", 0, TokenType::kUint16, "", kGpt2EndOfText, false};

struct Foreign {
  std::string_view beginning;
  const char* name;
};

/// What people might give by mistake, and what would be taken for tokens of 16 bits.
constexpr auto kForeign = std::to_array<Foreign>({
    {std::string_view("MMIDIDX\0\0", 9), "an index of Megatron, whose name must end in .idx"},
    {"\x1F\x8B", "a gzip file"},
    {"\x28\xB5\x2F\xFD", "a zstd file"},
    {"\x93NUMPY", "a NumPy file (write the array with tofile)"},
    {"PK\x03\x04", "a zip file (PyTorch, NumPy)"},
    {"PAR1", "a Parquet file"},
    {"ARROW1", "an Arrow file"},
});

[[noreturn]] void refuse(const MappedFile& file, const std::string& what) {
  throw StorageError(file.path() + ": " + what +
                     ", expected tokens: of llm.c (magic number 20240520 or 20240801), of nanoGPT "
                     "(16 bits each, no header), or the PREFIX of Megatron's .idx and .bin");
}

/// No control characters but those between lines: tokens of 16 bits always have some.
bool is_text(std::string_view beginning) {
  return std::all_of(beginning.begin(), beginning.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 || (byte >= '\t' && byte <= '\r');
  });
}

void check_llm_c(const MappedFile& file, const LlmC& known) {
  if (file.size_bytes() < kHeaderBytes) {
    refuse_bytes(file, file.size_bytes(), "the end of the file", "a header of 1024 bytes (llm.c)");
  }
  const auto version = load<std::int32_t>(file, kVersionOffset);
  if (version != known.version) {
    refuse_bytes(file, kVersionOffset, "version " + std::to_string(version),
                 std::to_string(known.version) + " (llm.c with magic number " +
                     std::to_string(known.magic) + ")");
  }
  const std::int64_t tokens = load<std::int32_t>(file, kCountOffset);
  const std::int64_t body_bytes = file.size_bytes() - kHeaderBytes;
  const std::int64_t token_bytes = bytes_of(known.format.type);
  if (tokens < 0 || tokens * token_bytes != body_bytes) {
    refuse_bytes(file, kCountOffset, std::to_string(tokens) + " tokens",
                 std::to_string(body_bytes / token_bytes) + " of " + std::to_string(token_bytes) +
                     " bytes each in a file of " + std::to_string(file.size_bytes()) + " bytes");
  }
}

}  // namespace

FlatFormat recognize_flat_format(const MappedFile& file) {
  const std::int64_t size_bytes = file.size_bytes();
  if (size_bytes == 0) refuse(file, "is empty");
  const std::string_view beginning(reinterpret_cast<const char*>(file.bytes().data()),
                                   std::min(kProbeBytes, file.bytes().size()));
  if (size_bytes >= 4) {
    const auto magic = load<std::int32_t>(file, 0);
    if (magic == kEvaluationMagic) {
      refuse(file, "multiple-choice questions of llm.c (magic number 20240522)");
    }
    for (const LlmC& known : kLlmC) {
      if (magic != known.magic) continue;
      check_llm_c(file, known);
      return known.format;
    }
  }
  for (const Foreign& foreign : kForeign) {
    if (beginning.starts_with(foreign.beginning)) refuse(file, foreign.name);
  }
  if (is_text(beginning)) refuse(file, "text (hetmoe data prepare makes tokens of it)");
  if (size_bytes % 2 != 0) refuse(file, std::to_string(size_bytes) + " bytes, an odd number");
  return kNanoGpt;
}

}  // namespace hetmoe
