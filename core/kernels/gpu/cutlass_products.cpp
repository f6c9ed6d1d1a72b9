#include <algorithm>
#include <utility>
#include <vector>

#include "core/gpu/upload_ring.h"
#include "core/kernels/gpu/cutlass/grouped_kernel.h"
#include "core/kernels/gpu/device_share.h"

namespace hetmoe::gpu {
namespace {

// Calls under way at once: forward and backward of a few layers.
constexpr int kUploadPlaces = 64;

/// Those that run on the calling thread's device.
std::vector<std::unique_ptr<GroupedKernel>> kernels_here(int reserve) {
  if (compute_capability() != "9.0") return {};
  return make_grouped_kernels(multiprocessors_left(reserve));
}

class CutlassProducts final : public GroupedProducts {
 public:
  CutlassProducts(std::shared_ptr<GroupedProducts> others, int reserve)
      : others_(std::move(others)), kernels_(kernels_here(reserve)) {
    std::size_t most = 0;
    for (const auto& kernel : kernels_) most = std::max(most, kernel->workspace_bytes());
    workspace_ = DeviceMemory(most);
  }

  bool takes(const ProductKind& kind, std::span<const Product> products) const override {
    return kernel_for(kind) != nullptr &&
           std::ranges::all_of(products, [&](const Product& product) {
             return !has_work(kind, product) || fits_tensor_copies(kind, product);
           });
  }

  void run(const ProductKind& kind, std::span<const Product> products, Stream stream) override {
    GroupedKernel* kernel = kernel_for(kind);
    if (kernel == nullptr) return others_->run(kind, products, stream);
    block_.pack(kind, products, left_);
    if (block_.count() > 0) {
      const auto bytes = block_.bytes();
      const void* there = uploads_.upload(bytes.data(), bytes.size(), stream);
      kernel->launch(block_.arguments_at(there), block_.arguments_at(bytes.data()).shapes,
                     kind.adds, workspace_.get(), stream);
    }
    if (!left_.empty()) others_->run(kind, left_, stream);
  }

 private:
  /// None where it is for others.
  GroupedKernel* kernel_for(const ProductKind& kind) const {
    const auto found =
        std::ranges::find_if(kernels_, [&](const auto& one) { return one->takes(kind); });
    return found == kernels_.end() ? nullptr : found->get();
  }

  std::shared_ptr<GroupedProducts> others_;
  std::vector<std::unique_ptr<GroupedKernel>> kernels_;
  DeviceMemory workspace_;
  UploadRing uploads_{kUploadPlaces};
  ArgumentBlock block_;
  std::vector<Product> left_;
};

}  // namespace

bool cutlass_is_available() { return !kernels_here(0).empty(); }

std::unique_ptr<GroupedProducts> make_cutlass_products(std::shared_ptr<GroupedProducts> others,
                                                       int reserve) {
  return std::make_unique<CutlassProducts>(std::move(others), reserve);
}

}  // namespace hetmoe::gpu
