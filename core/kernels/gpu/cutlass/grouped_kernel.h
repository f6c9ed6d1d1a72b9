#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "core/gpu/launch.h"
#include "core/kernels/gpu/grouped_products.h"
#include "core/kernels/gpu/pointer_arguments.h"

namespace hetmoe::gpu {

/// One compiled kernel: products of one form and type, on Hopper alone.
class GroupedKernel {
 public:
  virtual ~GroupedKernel() = default;

  virtual bool takes(const ProductKind& kind) const = 0;

  /// Memory of the device that a launch works in, whatever its products.
  virtual std::size_t workspace_bytes() const = 0;

  /// Enqueues c = a b, or c += a b. `there`: arguments in the device's memory; `here`: the shapes
  /// once more, for the host, which is done with them when this returns and does not wait.
  /// Launches that share a workspace are on one stream.
  virtual void launch(const PointerArguments& there, const ProductShape* here, bool adds,
                      void* workspace, Stream stream) = 0;
};

/// x W^T and dy W from bf16 to bf16, not added; dy^T x from bf16 to fp32, added or not. Empty where
/// CUTLASS is not compiled. `multiprocessors`: how many blocks a launch has at most, of those that
/// the device has; the workspace is for as many.
std::vector<std::unique_ptr<GroupedKernel>> make_grouped_kernels(int multiprocessors);

}  // namespace hetmoe::gpu
