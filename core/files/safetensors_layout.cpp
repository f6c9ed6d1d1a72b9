#include "core/files/safetensors_layout.h"

#include <array>
#include <nlohmann/json.hpp>

#include "core/base/check.h"

namespace hetmoe {
namespace {

struct NamedType {
  std::string_view name;
  int bits;
};

/// In the order of TensorType.
constexpr std::array<NamedType, 22> kTypes = {{
    {"BOOL", 8},        {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
    {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
    {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
    {"I32", 32},        {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},
    {"I64", 64},        {"U64", 64},
}};
static_assert(kTypes.size() == static_cast<std::size_t>(TensorType::kU64) + 1);

constexpr std::size_t kLongestQuote = 80;

const NamedType& named(TensorType type) {
  const auto index = static_cast<std::size_t>(type);
  HETMOE_CHECK(index < kTypes.size(), "tensor type ", index);
  return kTypes[index];
}

}  // namespace

std::string_view type_name(TensorType type) { return named(type).name; }
int bits_of(TensorType type) { return named(type).bits; }

std::optional<TensorType> find_tensor_type(std::string_view name) {
  for (std::size_t index = 0; index < kTypes.size(); ++index) {
    if (kTypes[index].name == name) return static_cast<TensorType>(index);
  }
  return std::nullopt;
}

std::string tensor_type_names() {
  std::string names;
  for (const NamedType& type : kTypes) {
    if (!names.empty()) names += ", ";
    names += type.name;
  }
  return names;
}

std::string in_quotes(std::string_view text) {
  const bool is_long = text.size() > kLongestQuote;
  const nlohmann::json shown = std::string(text.substr(0, kLongestQuote)) + (is_long ? "..." : "");
  return shown.dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
}

std::int64_t packed_bytes(const TensorInfo& tensor, const std::string& file) {
  std::int64_t count = 1;
  bool overflows = false;
  for (const std::int64_t size : tensor.shape) {
    HETMOE_CHECK(size >= 0, "tensor ", tensor.name, " has a dimension of ", size);
    overflows = overflows || __builtin_mul_overflow(count, size, &count);
  }
  std::int64_t bits = 0;
  overflows = overflows || __builtin_mul_overflow(count, bits_of(tensor.type), &bits);
  if (overflows) {
    throw StorageError(file + ": tensor " + in_quotes(tensor.name) +
                       " has a shape of more elements than can be counted");
  }
  if (bits % 8 != 0) {
    throw StorageError(file + ": tensor " + in_quotes(tensor.name) + " has " +
                       std::to_string(count) + " elements of type " +
                       std::string(type_name(tensor.type)) + ", which end within a byte");
  }
  return bits / 8;
}

void require_header_length(std::uint64_t bytes, const std::string& file) {
  if (bytes <= std::uint64_t{kLongestSafetensorsHeader}) return;
  throw StorageError(file + ": header of " + std::to_string(bytes) + " bytes, at most " +
                     std::to_string(kLongestSafetensorsHeader) + " are allowed");
}

}  // namespace hetmoe
