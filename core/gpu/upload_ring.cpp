#include "core/gpu/upload_ring.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/base/check.h"

namespace hetmoe::gpu {
namespace {

// Freeing what has become too small waits for the device: places begin with room for most uploads.
constexpr std::size_t kLeastRoomBytes = std::size_t{16} << 10;

}  // namespace

UploadRing::UploadRing(int places) : places_(static_cast<std::size_t>(places)) {
  HETMOE_CHECK(places > 1, places, " places");
}

const void* UploadRing::upload(const void* values, std::size_t size_bytes, Stream stream) {
  // Readers of the place before have been enqueued by now.
  places_[(next_ + places_.size() - 1) % places_.size()].read.record(stream);
  Place& place = places_[next_];
  next_ = (next_ + 1) % places_.size();
  if (!place.read.reached()) place.read.wait();
  if (place.host.size_bytes() < size_bytes) {
    const std::size_t room = std::max(kLeastRoomBytes, std::bit_ceil(size_bytes));
    place.host = PinnedMemory(room);
    place.device = DeviceMemory(room);
  }
  if (size_bytes > 0) std::memcpy(place.host.get(), values, size_bytes);
  copy_to_device(place.device.get(), place.host.get(), size_bytes, stream);
  return place.device.get();
}

}  // namespace hetmoe::gpu
