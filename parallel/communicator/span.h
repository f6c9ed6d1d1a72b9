#pragma once

#include <cstdint>
#include <span>
#include <type_traits>

namespace hetmoe {

enum class DataType : std::uint8_t { kFloat32, kFloat64, kInt64, kBFloat16, kByte };

constexpr std::int64_t bytes_of(DataType type) {
  switch (type) {
    case DataType::kFloat32:
      return 4;
    case DataType::kFloat64:
      return 8;
    case DataType::kInt64:
      return 8;
    case DataType::kBFloat16:
      return 2;
    case DataType::kByte:
      return 1;
  }
  return 0;
}

/// Memory that a communicator reads and writes; the caller owns it and keeps it alive and
/// untouched until the Pending it was given to has finished.
struct Buffer {
  void* pointer = nullptr;
  std::int64_t count = 0;  ///< elements, not bytes
  DataType type = DataType::kByte;
};

/// Memory that a communicator only reads.
struct ConstBuffer {
  const void* pointer = nullptr;
  std::int64_t count = 0;
  DataType type = DataType::kByte;

  ConstBuffer() = default;
  ConstBuffer(const void* pointer_in, std::int64_t count_in, DataType type_in)
      : pointer(pointer_in), count(count_in), type(type_in) {}
  ConstBuffer(const Buffer& buffer)  // NOLINT: a Buffer is readable
      : pointer(buffer.pointer), count(buffer.count), type(buffer.type) {}
};

template <typename T>
constexpr DataType data_type_of() {
  if constexpr (std::is_same_v<T, float>)
    return DataType::kFloat32;
  else if constexpr (std::is_same_v<T, double>)
    return DataType::kFloat64;
  else if constexpr (std::is_same_v<T, std::int64_t>)
    return DataType::kInt64;
  else if constexpr (sizeof(T) == 1)
    return DataType::kByte;
  else
    static_assert(sizeof(T) == 0, "no DataType for this element");
}

template <typename T>
Buffer buffer_of(std::span<T> values) {
  return {values.data(), static_cast<std::int64_t>(values.size()), data_type_of<T>()};
}

template <typename T>
ConstBuffer const_buffer_of(std::span<const T> values) {
  return {values.data(), static_cast<std::int64_t>(values.size()), data_type_of<T>()};
}

}  // namespace hetmoe
