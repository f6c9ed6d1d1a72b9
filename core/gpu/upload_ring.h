#pragma once

#include <cstddef>
#include <vector>

#include "core/gpu/memory.h"
#include "core/gpu/stream.h"

namespace hetmoe::gpu {

/// Small values of the host on their way to the device without waiting: pinned memory and its twin
/// on the device, in several places. The host waits only when it is a whole round ahead.
/// Threads: one at a time. All uploads go on one stream.
class UploadRing {
 public:
  explicit UploadRing(int places);

  /// The copy on the device. What `stream` is given before the next upload may read it.
  const void* upload(const void* values, std::size_t size_bytes, Stream stream);

 private:
  struct Place {
    PinnedMemory host;
    DeviceMemory device;
    OwnedEvent read;  ///< all that may have read it
  };

  std::vector<Place> places_;
  std::size_t next_ = 0;
};

}  // namespace hetmoe::gpu
