#include "core/gpu/upload_ring.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <numeric>
#include <vector>

namespace hetmoe::test {
namespace {

/// Values of the host that the device copied for itself right after the upload.
TEST(UploadRing, what_was_uploaded_is_read_before_its_place_is_used_again) {
  constexpr int kPlaces = 3;
  constexpr std::size_t kUploads = 4 * kPlaces + 1;
  const gpu::OwnedStream stream;
  gpu::UploadRing ring(kPlaces);
  std::vector<std::vector<std::int32_t>> sent;
  std::vector<gpu::DeviceMemory> kept;
  for (std::size_t upload = 0; upload < kUploads; ++upload) {
    auto& values = sent.emplace_back(1 + upload * 37 % 11);  // longer and shorter than before
    std::iota(values.begin(), values.end(), static_cast<std::int32_t>(1000 * upload));
    const std::size_t size_bytes = values.size() * sizeof(std::int32_t);
    std::vector<std::int32_t> passing = values;
    const void* there = ring.upload(passing.data(), size_bytes, stream.get());
    std::fill(passing.begin(), passing.end(), -1);  // the caller's memory is its own again
    gpu::copy_on_device(kept.emplace_back(size_bytes).get(), there, size_bytes, stream.get());
  }
  for (std::size_t upload = 0; upload < kUploads; ++upload) {
    std::vector<std::int32_t> back(sent[upload].size());
    gpu::copy_to_host(back.data(), kept[upload].get(), kept[upload].size_bytes(), stream.get());
    gpu::wait_for(stream.get());
    EXPECT_EQ(back, sent[upload]) << upload;
  }
}

}  // namespace
}  // namespace hetmoe::test
