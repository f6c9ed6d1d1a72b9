#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/kernels/gpu/grouped_products.h"

namespace hetmoe::gpu {

struct ProductShape {
  std::int32_t rows = 0;
  std::int32_t columns = 0;
  std::int32_t depth = 0;
};

/// What a pointer-array kernel reads: an entry per product in each array. Strides are elements from
/// one row in memory to the next.
struct PointerArguments {
  std::int32_t count = 0;
  const void* const* a = nullptr;
  const void* const* b = nullptr;
  void* const* c = nullptr;
  const std::int64_t* a_stride = nullptr;
  const std::int64_t* b_stride = nullptr;
  const std::int64_t* c_stride = nullptr;
  const ProductShape* shapes = nullptr;
};

/// Whether the TMA unit of Hopper can copy all three matrices: they begin at multiples of 16 bytes,
/// so do their rows, rows hold whole such pieces, and sizes fit 32 bits.
bool fits_tensor_copies(const ProductKind& kind, const Product& product);

/// The arguments of one call as one piece of memory, to be uploaded by one copy. Keeps its memory.
class ArgumentBlock {
 public:
  /// Packs the products that have work and fit tensor copies. `others` gets those that have work
  /// and do not fit.
  void pack(const ProductKind& kind, std::span<const Product> products,
            std::vector<Product>& others);

  std::int32_t count() const { return static_cast<std::int32_t>(packed_.size()); }
  std::span<const std::byte> bytes() const { return bytes_; }
  /// Its arrays where a copy of it begins, which is aligned to 8 bytes: here or on the device.
  PointerArguments arguments_at(const void* begin) const;

 private:
  std::vector<Product> packed_;
  std::vector<std::byte> bytes_;
};

}  // namespace hetmoe::gpu
