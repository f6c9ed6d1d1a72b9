#include "core/gpu/stream.h"

#include <utility>

#include "core/gpu/cuda_call.h"

namespace hetmoe::gpu {

OwnedStream::OwnedStream(Priority priority) {
  int lowest = 0;
  int highest = 0;
  check_cuda("cudaDeviceGetStreamPriorityRange",
             cudaDeviceGetStreamPriorityRange(&lowest, &highest));
  check_cuda("cudaStreamCreate",
             cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking,
                                          priority == Priority::kHigh ? highest : lowest));
}

OwnedStream::OwnedStream(OwnedStream&& other) noexcept
    : stream_(std::exchange(other.stream_, nullptr)) {}

OwnedStream& OwnedStream::operator=(OwnedStream&& other) noexcept {
  std::swap(stream_, other.stream_);
  return *this;
}

// After a failure of the device destroying fails as well, and nobody is left to be told.
OwnedStream::~OwnedStream() {
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
}

OwnedEvent::OwnedEvent(Timing timing) {
  const unsigned flags = timing == Timing::kTimed ? cudaEventDefault : cudaEventDisableTiming;
  check_cuda("cudaEventCreate", cudaEventCreateWithFlags(&event_, flags));
}

OwnedEvent::OwnedEvent(OwnedEvent&& other) noexcept
    : event_(std::exchange(other.event_, nullptr)) {}

OwnedEvent& OwnedEvent::operator=(OwnedEvent&& other) noexcept {
  std::swap(event_, other.event_);
  return *this;
}

OwnedEvent::~OwnedEvent() {
  if (event_ != nullptr) cudaEventDestroy(event_);
}

void OwnedEvent::record(Stream stream) {
  check_cuda("cudaEventRecord", cudaEventRecord(event_, stream));
}

void OwnedEvent::hold(Stream stream) const {
  check_cuda("cudaStreamWaitEvent", cudaStreamWaitEvent(stream, event_, 0));
}

bool OwnedEvent::reached() const {
  const cudaError_t error = cudaEventQuery(event_);
  if (error != cudaErrorNotReady) check_cuda("cudaEventQuery", error);
  return error == cudaSuccess;
}

void OwnedEvent::wait() const { check_cuda("cudaEventSynchronize", cudaEventSynchronize(event_)); }

double OwnedEvent::seconds_since(const OwnedEvent& earlier) const {
  float milliseconds = 0;
  check_cuda("cudaEventElapsedTime", cudaEventElapsedTime(&milliseconds, earlier.event_, event_));
  return 1e-3 * static_cast<double>(milliseconds);
}

void wait_for(Stream stream) { check_cuda("cudaStreamSynchronize", cudaStreamSynchronize(stream)); }

void order(Stream earlier, Stream later, OwnedEvent& event) {
  if (earlier == later) return;
  event.record(earlier);
  event.hold(later);
}

}  // namespace hetmoe::gpu
