#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/files/safetensors.h"

// What reader and writer of the format share. For this room only.
namespace hetmoe {

/// The type of that name in the format, if there is one.
std::optional<TensorType> find_tensor_type(std::string_view name);

/// All of them, for errors: "BOOL, F4, ...".
std::string tensor_type_names();

/// A text from outside, for errors: in quotes, on one line, in ASCII, cut where it is long.
std::string in_quotes(std::string_view text);

/// Bytes that a tensor of this type and shape takes. Errors: StorageError that names the file and
/// the tensor, when they are too many to count or end within a byte.
std::int64_t packed_bytes(const TensorInfo& tensor, const std::string& file);

/// Refuses a header that is too long. Errors: StorageError.
void require_header_length(std::uint64_t bytes, const std::string& file);

}  // namespace hetmoe
