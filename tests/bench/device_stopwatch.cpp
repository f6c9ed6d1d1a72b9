#include "tests/bench/device_stopwatch.h"

#include "core/gpu/cuda_call.h"

namespace hetmoe::bench {

using gpu::check_cuda;

DeviceStopwatch::~DeviceStopwatch() {
  for (gpu::Event event : events_) cudaEventDestroy(event);
}

void DeviceStopwatch::mark(gpu::Stream stream) {
  gpu::Event& event = events_.emplace_back(nullptr);
  check_cuda("cudaEventCreate", cudaEventCreateWithFlags(&event, cudaEventDefault));
  check_cuda("cudaEventRecord", cudaEventRecord(event, stream));
}

std::vector<double> DeviceStopwatch::seconds() {
  std::vector<double> between;
  if (!events_.empty()) {
    check_cuda("cudaEventSynchronize", cudaEventSynchronize(events_.back()));
  }
  for (std::size_t i = 1; i < events_.size(); ++i) {
    float milliseconds = 0;
    check_cuda("cudaEventElapsedTime",
               cudaEventElapsedTime(&milliseconds, events_[i - 1], events_[i]));
    between.push_back(1e-3 * static_cast<double>(milliseconds));
  }
  for (gpu::Event event : events_) check_cuda("cudaEventDestroy", cudaEventDestroy(event));
  events_.clear();
  return between;
}

}  // namespace hetmoe::bench
