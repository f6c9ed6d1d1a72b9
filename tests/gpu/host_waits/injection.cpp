// A library that CUDA's driver loads into any program:
// CUDA_INJECTION64_PATH=libhetmoe_host_waits.so, HETMOE_HOST_WAITS=FOLDER. When the program ends it
// leaves FOLDER/PROCESS.json (counted_waits.h). What cannot be profiled leaves no file and says
// why.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "tests/gpu/host_waits/counted_waits.h"

namespace {

constexpr std::size_t kRecordBytes = std::size_t{1} << 20;
constexpr std::size_t kRecordAlignment = 8;

/// Lives as long as the process: CUPTI's threads may still be at it.
hetmoe::test::CountedWaits& counted() {
  static auto* const instance = new hetmoe::test::CountedWaits;
  return *instance;
}

void CUPTIAPI give_buffer(std::uint8_t** buffer, std::size_t* size, std::size_t* most_records) {
  *buffer = static_cast<std::uint8_t*>(std::aligned_alloc(kRecordAlignment, kRecordBytes));
  *size = *buffer != nullptr ? kRecordBytes : 0;
  *most_records = 0;  // as many as fit
}

void CUPTIAPI take_buffer(CUcontext, std::uint32_t, std::uint8_t* buffer, std::size_t,
                          std::size_t filled) {
  CUpti_Activity* record = nullptr;
  while (cuptiActivityGetNextRecord(buffer, filled, &record) == CUPTI_SUCCESS) {
    counted().count(*record);
  }
  std::free(buffer);
}

void CUPTIAPI at_call(void*, CUpti_CallbackDomain, CUpti_CallbackId id, const void* data) {
  if (static_cast<const CUpti_CallbackData*>(data)->callbackSite == CUPTI_API_ENTER) {
    counted().count_call(id);
  }
}

bool succeeds(const char* call, CUptiResult result) {
  if (result == CUPTI_SUCCESS) return true;
  const char* text = "unknown error";
  cuptiGetResultString(result, &text);
  std::fprintf(stderr, "host waits are not counted: %s: %s\n", call, text);
  return false;
}

void write_counts() {
  const char* folder = std::getenv("HETMOE_HOST_WAITS");
  if (folder == nullptr || !succeeds("cuptiActivityFlushAll", cuptiActivityFlushAll(1))) return;
  std::ofstream(std::string(folder) + "/" + std::to_string(getpid()) + ".json") << counted().json();
}

bool start() {
  CUpti_SubscriberHandle subscriber = nullptr;
  return succeeds("cuptiActivityRegisterCallbacks",
                  cuptiActivityRegisterCallbacks(&give_buffer, &take_buffer)) &&
         succeeds("cuptiActivityEnable of waits",
                  cuptiActivityEnable(CUPTI_ACTIVITY_KIND_SYNCHRONIZATION)) &&
         succeeds("cuptiActivityEnable of copies",
                  cuptiActivityEnable(CUPTI_ACTIVITY_KIND_MEMCPY)) &&
         succeeds("cuptiSubscribe", cuptiSubscribe(&subscriber, &at_call, nullptr)) &&
         succeeds("cuptiEnableDomain",
                  cuptiEnableDomain(1, subscriber, CUPTI_CB_DOMAIN_DRIVER_API)) &&
         std::atexit(&write_counts) == 0;
}

}  // namespace

/// Called by the driver when it starts; 1: done.
extern "C" __attribute__((visibility("default"))) int InitializeInjection() {
  static const bool started = start();
  return started ? 1 : 0;
}
