#pragma once

#include <memory>
#include <utility>

#include "core/gpu/memory.h"
#include "core/gpu/stream.h"
#include "parallel/communicator/nccl_communicator.h"
#include "tests/support/mpi_world.h"
#include "tests/support/placed_values.h"

namespace hetmoe::test {

/// A block on the stream that a test computes on.
class StreamBlock final : public DeviceBlock {
 public:
  StreamBlock(std::size_t size_bytes, gpu::Stream stream) : memory_(size_bytes), stream_(stream) {}
  ~StreamBlock() override { gpu::wait_for(stream_); }  // what is freed may be another's at once
  void* pointer() const override { return memory_.get(); }
  void write(const void* from, std::size_t size_bytes) override {
    gpu::copy_to_device(memory_.get(), from, size_bytes, stream_);
  }
  void read(void* to, std::size_t size_bytes) const override {
    gpu::copy_to_host(to, memory_.get(), size_bytes, stream_);
    gpu::wait_for(stream_);
  }

 private:
  gpu::DeviceMemory memory_;
  gpu::Stream stream_;
};

/// A stream to compute on, and a group of all ranks of the test that works for it.
class NcclWorld {
 public:
  struct Settings {
    double timeout_seconds = 60;
    int peers_in_a_group = 512;
    std::int64_t scratch_bytes = 1 << 20;
  };

  NcclWorld() : NcclWorld(Settings{}) {}
  explicit NcclWorld(const Settings& settings)
      : NcclWorld(settings, test_world().split(0, test_world().rank())) {}
  NcclWorld(const Settings& settings, std::unique_ptr<Communicator> control)
      : groups_(settings.timeout_seconds),
        group_(make_nccl_communicator(std::move(control),
                                      {.compute_stream = [this] { return compute_.get(); },
                                       .groups = &groups_,
                                       .peers_in_a_group = settings.peers_in_a_group,
                                       .scratch_bytes = settings.scratch_bytes})) {}

  Communicator& group() { return *group_; }
  DeviceGroups& groups() { return groups_; }
  gpu::Stream compute() const { return compute_.get(); }
  /// For values that lie on the device.
  PlacedGroup placed() { return placed(*group_); }
  PlacedGroup placed(Communicator& group) {
    return {group, [this](std::size_t size_bytes) {
              return std::make_unique<StreamBlock>(size_bytes, compute_.get());
            }};
  }
  /// Destroys the communicator now.
  void leave() { group_.reset(); }

 private:
  gpu::OwnedStream compute_;
  DeviceGroups groups_;
  std::unique_ptr<Communicator> group_;
};

}  // namespace hetmoe::test
