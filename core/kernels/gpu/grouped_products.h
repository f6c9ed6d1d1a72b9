#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "core/gpu/launch.h"

namespace hetmoe::gpu {

enum class Number : std::uint8_t { kFloat32, kBFloat16 };

/// How a and b lie in memory, row by row:
///   kABt   a [rows, depth], b [columns, depth]    x W^T, forward
///   kAB    a [rows, depth], b [depth, columns]    dy W, gradient of x
///   kAtB   a [depth, rows], b [depth, columns]    dy^T x, gradient of W
enum class Form : std::uint8_t { kABt, kAB, kAtB };

/// What all products of a call share. Sums are in fp32 and rounded once, to `out`. With `adds` the
/// product is added to what c holds.
struct ProductKind {
  Form form = Form::kABt;
  Number in = Number::kBFloat16;
  Number out = Number::kBFloat16;  ///< fp32 for fp32 in
  bool adds = false;
};

/// c [rows, columns] = the product of a and b. Pointers are the device's; strides are elements from
/// one row to the next. rows and columns may be zero, depth where the product is added.
struct Product {
  const void* a = nullptr;
  const void* b = nullptr;
  void* c = nullptr;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t depth = 0;
  std::int64_t a_stride = 0;
  std::int64_t b_stride = 0;
  std::int64_t c_stride = 0;
};

/// Whether anything is to be done. A product of no depth is nothing where it is added; where it is
/// not, nobody asks for it.
bool has_work(const ProductKind& kind, const Product& product);

/// Several matrix products of different sizes: one for each slice of a layer.
/// Threads: one at a time.
class GroupedProducts {
 public:
  virtual ~GroupedProducts() = default;

  /// Whether a run of these is done in this way alone: `run` gives none of them to others.
  virtual bool takes(const ProductKind& kind, std::span<const Product> products) const = 0;

  /// Enqueues all of them on `stream`, or so that what follows there waits for them. The host does
  /// not wait. Matrices c must not overlap.
  virtual void run(const ProductKind& kind, std::span<const Product> products, Stream stream) = 0;
};

/// Of all ways below: `reserve` multiprocessors (even; at most half of the device's are) are left
/// to kernels beside the products, such as NCCL's. CUTLASS's grid, which holds what it has until
/// the last tile is done, is that much smaller; cuBLAS is told to choose its kernels for as many.

/// One call of cuBLAS per product, on up to `streams` streams beside each other: for few large
/// products, and the reference for the others. Any kind.
std::unique_ptr<GroupedProducts> make_stream_products(int streams, int reserve = 0);

/// One call of cublasGemmGroupedBatchedEx for all of them. cuBLAS 13 takes a, b and c of one type
/// alone (bf16, fp32; it has no bf16 to fp32), sums in fp32, names no architecture that it leaves
/// out, and wants matrices of bf16 aligned to 16 bytes. Other calls are given to `others`.
/// All runs are on one stream.
std::unique_ptr<GroupedProducts> make_batched_products(std::shared_ptr<GroupedProducts> others,
                                                       int reserve = 0);

/// One launch of CUTLASS's pointer-array kernel for Hopper (tiles of 128 x 256): bf16, of the forms
/// that layers take most (cutlass/grouped_kernel.h). Products of other kinds, those whose addresses
/// or rows do not fit the TMA unit (pointer_arguments.h), and all of them where it is not available
/// are given to `others`. All runs are on one stream.
std::unique_ptr<GroupedProducts> make_cutlass_products(std::shared_ptr<GroupedProducts> others,
                                                       int reserve = 0);

/// Whether this program has CUTLASS's kernels and the calling thread's device takes them.
bool cutlass_is_available();

}  // namespace hetmoe::gpu
