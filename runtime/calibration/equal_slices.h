#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/kernels/gpu/product_table.h"

namespace hetmoe {

/// A layer's slices of one width, each with equally many rows; a token selects two of them where
/// there are as many.
struct EqualSlicesShape {
  std::int64_t hidden_size = 0;
  std::int64_t rows = 0;  ///< of each slice
  std::int64_t width = 0;
  std::int64_t count = 1;

  /// Slices that follow one another have the rows of a token in common.
  std::int64_t tokens_apart() const { return count > 2 ? count / 2 : 1; }
  std::int64_t tokens() const { return rows * tokens_apart(); }
};

/// The slices of one layer under the kernels that training calls, on the host or on a GPU.
class EqualSlices {
 public:
  virtual ~EqualSlices() = default;
  virtual void forward() = 0;
  virtual void backward() = 0;
};

/// So many layers, which share their kernels. `place`: compute type and device; `products`: how a
/// GPU multiplies.
std::vector<std::unique_ptr<EqualSlices>> make_equal_layers(const at::TensorOptions& place,
                                                            const EqualSlicesShape& shape,
                                                            std::int64_t layers,
                                                            const gpu::ProductTable& products);

/// The same for a GPU alone; without CUDA built in a broken invariant.
std::vector<std::unique_ptr<EqualSlices>> make_equal_layers_on_gpu(
    const at::TensorOptions& place, const EqualSlicesShape& shape, std::int64_t layers,
    const gpu::ProductTable& products);

}  // namespace hetmoe
