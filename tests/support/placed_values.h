#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "parallel/communicator/communicator.h"
#include "tests/support/conformance_values.h"

namespace hetmoe::test {

/// A run of the device's memory. Both calls work on the stream that the group's caller computes on.
class DeviceBlock {
 public:
  virtual ~DeviceBlock() = default;
  virtual void* pointer() const = 0;
  /// Only starts: `from` must stay as it is as long as the block lives.
  virtual void write(const void* from, std::size_t size_bytes) = 0;
  /// The host waits.
  virtual void read(void* to, std::size_t size_bytes) const = 0;
};

/// A group of ranks, and how to get at the memory that it works on.
struct PlacedGroup {
  PlacedGroup(Communicator& communicator_in)
      : communicator(communicator_in) {}  // NOLINT: the host's
  PlacedGroup(Communicator& communicator_in,
              std::function<std::unique_ptr<DeviceBlock>(std::size_t)> device_block_in)
      : communicator(communicator_in), device_block(std::move(device_block_in)) {}

  Communicator& communicator;
  std::function<std::unique_ptr<DeviceBlock>(std::size_t)> device_block;  ///< for device memory
};

/// Values in the memory that a group works on.
template <typename T>
class Placed {
 public:
  Placed(const PlacedGroup& group, std::vector<T> values) : values_(std::move(values)) {
    if (group.communicator.memory() == MemoryKind::kHost) return;
    block_ = group.device_block(values_.size() * sizeof(T));
    block_->write(values_.data(), values_.size() * sizeof(T));
  }
  Buffer buffer() { return part(0, static_cast<std::int64_t>(values_.size())); }
  Buffer part(std::int64_t begin, std::int64_t count) {
    T* first = block_ ? static_cast<T*>(block_->pointer()) : values_.data();
    return {first == nullptr ? nullptr : first + begin, count, type_of_values<T>()};
  }

  std::vector<T> values() const {
    if (!block_) return values_;
    std::vector<T> read(values_.size());
    block_->read(read.data(), read.size() * sizeof(T));
    return read;
  }

 private:
  std::vector<T> values_;  ///< on the device: what was written there
  std::unique_ptr<DeviceBlock> block_;
};

/// For `count` values; of any content.
template <typename T>
Placed<T> room_for(const PlacedGroup& group, std::int64_t count) {
  return Placed<T>(group, std::vector<T>(static_cast<std::size_t>(count)));
}

}  // namespace hetmoe::test
