#include "parallel/communicator/collective_checks.h"

#include "core/base/check.h"

namespace hetmoe {

void check_buffer(const char* operation, ConstBuffer values) {
  HETMOE_CHECK(values.count >= 0, operation, ": count ", values.count);
  HETMOE_CHECK(values.count == 0 || values.pointer != nullptr, operation, ": no memory for ",
               values.count, " elements");
}

void check_reduction(const char* operation, ConstBuffer values) {
  check_buffer(operation, values);
  const bool reducible = values.type == DataType::kFloat32 || values.type == DataType::kFloat64 ||
                         values.type == DataType::kInt64;
  HETMOE_CHECK(reducible, operation, ": reductions exist for fp32, fp64 and int64, not for type ",
               static_cast<int>(values.type));
  const auto address = reinterpret_cast<std::uintptr_t>(values.pointer);
  HETMOE_CHECK(address % static_cast<std::uintptr_t>(bytes_of(values.type)) == 0, operation,
               ": memory is not aligned to its ", bytes_of(values.type), "-byte elements");
}

void check_parts(const char* operation, std::span<const std::int64_t> counts, int size,
                 std::int64_t total) {
  HETMOE_CHECK(counts.size() == static_cast<std::size_t>(size), operation, ": ", counts.size(),
               " counts for ", size, " ranks");
  std::int64_t sum = 0;
  for (const std::int64_t count : counts) {
    HETMOE_CHECK(count >= 0, operation, ": count ", count);
    sum += count;
  }
  HETMOE_CHECK(sum == total, operation, ": counts add up to ", sum, ", the buffer holds ", total);
}

void check_two_buffers(const char* operation, ConstBuffer send, ConstBuffer receive) {
  check_buffer(operation, send);
  check_buffer(operation, receive);
  HETMOE_CHECK(send.type == receive.type, operation, ": sends type ", static_cast<int>(send.type),
               ", receives type ", static_cast<int>(receive.type));
  if (send.count == 0 || receive.count == 0) return;
  const auto begin = [](ConstBuffer b) { return reinterpret_cast<std::uintptr_t>(b.pointer); };
  const auto end = [&](ConstBuffer b) {
    return begin(b) + static_cast<std::uintptr_t>(b.count * bytes_of(b.type));
  };
  HETMOE_CHECK(end(send) <= begin(receive) || end(receive) <= begin(send), operation,
               ": send and receive buffers overlap");
}

void check_root(const char* operation, int root, int size) {
  HETMOE_CHECK(root >= 0 && root < size, operation, ": root ", root, " of ", size, " ranks");
}

}  // namespace hetmoe
