#include <algorithm>
#include <utility>
#include <vector>

#include "core/gpu/devices.h"
#include "core/gpu/upload_ring.h"
#include "core/kernels/gpu/cutlass/grouped_kernel.h"

namespace hetmoe::gpu {
namespace {

// Calls under way at once: forward and backward of a few layers.
constexpr int kUploadPlaces = 64;

/// Those that run on the calling thread's device.
std::vector<std::unique_ptr<GroupedKernel>> kernels_here() {
  const Devices devices = visible_devices();
  if (devices.visible.empty()) return {};
  const Device& mine = devices.visible.at(static_cast<std::size_t>(device_in_use()));
  if (mine.major != 9 || mine.minor != 0) return {};
  return make_grouped_kernels(mine.multiprocessors);
}

class CutlassProducts final : public GroupedProducts {
 public:
  explicit CutlassProducts(std::shared_ptr<GroupedProducts> others)
      : others_(std::move(others)), kernels_(kernels_here()) {
    std::size_t most = 0;
    for (const auto& kernel : kernels_) most = std::max(most, kernel->workspace_bytes());
    workspace_ = DeviceMemory(most);
  }

  void run(const ProductKind& kind, std::span<const Product> products, Stream stream) override {
    const auto kernel =
        std::ranges::find_if(kernels_, [&](const auto& one) { return one->takes(kind); });
    if (kernel == kernels_.end()) return others_->run(kind, products, stream);
    block_.pack(kind, products, left_);
    if (block_.count() > 0) {
      const auto bytes = block_.bytes();
      const void* there = uploads_.upload(bytes.data(), bytes.size(), stream);
      (*kernel)->launch(block_.arguments_at(there), block_.arguments_at(bytes.data()).shapes,
                        kind.adds, workspace_.get(), stream);
    }
    if (!left_.empty()) others_->run(kind, left_, stream);
  }

 private:
  std::shared_ptr<GroupedProducts> others_;
  std::vector<std::unique_ptr<GroupedKernel>> kernels_;
  DeviceMemory workspace_;
  UploadRing uploads_{kUploadPlaces};
  ArgumentBlock block_;
  std::vector<Product> left_;
};

}  // namespace

bool cutlass_is_available() { return !kernels_here().empty(); }

std::unique_ptr<GroupedProducts> make_cutlass_products(std::shared_ptr<GroupedProducts> others) {
  return std::make_unique<CutlassProducts>(std::move(others));
}

}  // namespace hetmoe::gpu
