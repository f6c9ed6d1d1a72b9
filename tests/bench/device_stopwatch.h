#pragma once

#include <vector>

#include "core/gpu/stream.h"

namespace hetmoe::bench {

/// Times between marks on a stream, by the device's own clock.
class DeviceStopwatch {
 public:
  void mark(gpu::Stream stream) {
    events_.emplace_back(gpu::OwnedEvent::Timing::kTimed).record(stream);
  }

  /// From each mark to the next. The host waits for the last one; all are forgotten.
  std::vector<double> seconds() {
    std::vector<double> between;
    if (!events_.empty()) events_.back().wait();
    for (std::size_t i = 1; i < events_.size(); ++i) {
      between.push_back(events_[i].seconds_since(events_[i - 1]));
    }
    events_.clear();
    return between;
  }

 private:
  std::vector<gpu::OwnedEvent> events_;
};

}  // namespace hetmoe::bench
