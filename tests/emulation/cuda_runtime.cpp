// CUDA's runtime for one device that is not there (include/cuda_runtime.h).
#include "tests/emulation/include/cuda_runtime.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/emulation/device_memory.h"
#include "tests/emulation/host_waits_file.h"
#include "tests/emulation/streams.h"

using namespace hetmoe::emulation;

namespace {

thread_local cudaError_t last_error = cudaSuccess;

/// What a call returns before it does anything, if a test asked for it.
cudaError_t failure_of(const char* function) {
  const int code = take_failure(function);
  if (code != 0) last_error = static_cast<cudaError_t>(code);
  return static_cast<cudaError_t>(code);
}

cudaError_t refused(cudaError_t error) { return last_error = error; }

cudaStream_t stream_of(cudaStream_t stream) {
  return stream != nullptr ? stream : default_stream();
}

double host_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

bool is_side_right(const void* pointer, std::size_t size, bool device) {
  return size == 0 || is_on_device(pointer, size) == device;
}

}  // namespace

cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorNotReady:
      return "device not ready";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
  }
  return "unrecognized error code";
}

cudaError_t cudaGetDeviceCount(int* count) {
  write_host_waits_at_exit();  // who uses the device has asked for it
  if (const auto error = failure_of("cudaGetDeviceCount"); error != cudaSuccess) return error;
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (const auto error = failure_of("cudaSetDevice"); error != cudaSuccess) return error;
  return device == 0 ? cudaSuccess : refused(cudaErrorInvalidDevice);
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

namespace {

/// 9.0, or what a test asks for.
void set_capability(cudaDeviceProp& properties) {
  const char* asked = std::getenv("HETMOE_EMULATED_CAPABILITY");
  if (asked == nullptr) asked = "9.0";
  if (std::sscanf(asked, "%d.%d", &properties.major, &properties.minor) == 2) return;
  std::fprintf(stderr, "HETMOE_EMULATED_CAPABILITY: value %s, allowed: such as 8.0\n", asked);
  std::abort();
}

}  // namespace

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device != 0) return refused(cudaErrorInvalidDevice);
  *properties = {};
  std::strcpy(properties->name, "emulated device");
  std::memset(properties->uuid.bytes, 0x5e, sizeof properties->uuid.bytes);
  const pid_t process = getpid();  // every process has a device of its own
  std::memcpy(properties->uuid.bytes, &process, sizeof process);
  properties->totalGlobalMem = device_bytes();
  properties->multiProcessorCount = kMultiprocessors;
  set_capability(*properties);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  if (const auto error = failure_of("cudaMemGetInfo"); error != cudaSuccess) return error;
  *free = free_device_bytes();
  *total = device_bytes();
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** pointer, std::size_t size) {
  if (const auto error = failure_of("cudaMalloc"); error != cudaSuccess) return error;
  *pointer = allocate_on_device(size);
  return *pointer != nullptr ? cudaSuccess : refused(cudaErrorMemoryAllocation);
}

// Freeing waits for the whole device, as CUDA does.
cudaError_t cudaFree(void* pointer) {
  if (const auto error = failure_of("cudaFree"); error != cudaSuccess) return error;
  if (pointer == nullptr) return cudaSuccess;
  ++observed().host_waits;
  run_everything();
  if (free_on_device(pointer)) return cudaSuccess;
  return refused(cudaErrorInvalidValue);
}

cudaError_t cudaHostAlloc(void** pointer, std::size_t size, unsigned) {
  if (const auto error = failure_of("cudaHostAlloc"); error != cudaSuccess) return error;
  *pointer = std::malloc(size > 0 ? size : 1);
  return *pointer != nullptr ? cudaSuccess : refused(cudaErrorMemoryAllocation);
}

cudaError_t cudaFreeHost(void* pointer) {
  std::free(pointer);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t size, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  if (const auto error = failure_of("cudaMemcpyAsync"); error != cudaSuccess) return error;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (!is_side_right(to, size, to_device) || !is_side_right(from, size, from_device)) {
    return refused(cudaErrorInvalidValue);
  }
  if (to_device != from_device) ++observed().copies;
  enqueue(stream_of(stream), "copy", [to, from, size] {
    std::memmove(to, from, size);
    return true;
  });
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t size, cudaStream_t stream) {
  if (const auto error = failure_of("cudaMemsetAsync"); error != cudaSuccess) return error;
  if (!is_side_right(to, size, true)) return refused(cudaErrorInvalidValue);
  enqueue(stream_of(stream), "set", [to, value, size] {
    std::memset(to, value, size);
    return true;
  });
  return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* lowest, int* highest) {
  *lowest = 0;
  *highest = -5;
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int priority) {
  if (const auto error = failure_of("cudaStreamCreateWithPriority"); error != cudaSuccess)
    return error;
  if (priority > 0 || priority < -5) return refused(cudaErrorInvalidValue);
  *stream = new_stream();
  return cudaSuccess;
}

// What was enqueued is still done.
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  run_all(stream);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (const auto error = failure_of("cudaStreamSynchronize"); error != cudaSuccess) return error;
  ++observed().host_waits;
  run_all(stream_of(stream));
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (const auto error = failure_of("cudaStreamWaitEvent"); error != cudaSuccess) return error;
  if (event->stream == nullptr) return cudaSuccess;
  enqueue(stream_of(stream), "wait", [waited = *event] { return advance(waited); });
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  if (const auto error = failure_of("cudaEventCreateWithFlags"); error != cudaSuccess) return error;
  *event = new CUevent_st{.is_timed = (flags & cudaEventDisableTiming) == 0};
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (const auto error = failure_of("cudaEventRecord"); error != cudaSuccess) return error;
  event->seconds.reset();
  if (event->is_timed) {
    event->seconds = std::make_shared<double>(0);
    enqueue(stream_of(stream), "time", [seconds = event->seconds] {
      *seconds = host_seconds();
      return true;
    });
  }
  event->stream = stream_of(stream);
  event->position = event->stream->enqueued;
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (const auto error = failure_of("cudaEventQuery"); error != cudaSuccess) return error;
  return advance(*event) ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (const auto error = failure_of("cudaEventSynchronize"); error != cudaSuccess) return error;
  ++observed().host_waits;
  if (event->stream != nullptr) run_until(event->stream, event->position);
  return cudaSuccess;
}

// When the emulation did the work before: what it takes here and not what a device would take.
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  if (const auto error = failure_of("cudaEventElapsedTime"); error != cudaSuccess) return error;
  if (!start->seconds || !end->seconds) return refused(cudaErrorInvalidValue);
  for (const cudaEvent_t event : {start, end}) {
    if (event->stream->finished < event->position) return cudaErrorNotReady;
  }
  *milliseconds = static_cast<float>(1e3 * (*end->seconds - *start->seconds));
  return cudaSuccess;
}
