#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/BFloat16.h>

#include <cstdint>

#include "core/kernels/gradient_sum.h"
#include "core/kernels/packed_matrix.h"

namespace hetmoe {

/// bf16 products with fp32 results over packed matrices, on the blocks that LibTorch's oneDNN
/// micro-kernels multiply. Products of whole matrices through at::mm round to bf16 and spend
/// another pass over memory; here every block of the result is handed over in fp32 while it is in
/// the cache.

/// Whether this processor has bf16 tile or dot-product instructions that the micro-kernels use.
bool packed_products_available();

/// Rows of A that are multiplied at once.
inline constexpr std::int64_t kRowBlock = 128;
/// Depth of products whose result stays in the cache: what they read of A and B does then, too.
inline constexpr std::int64_t kTileDepth = 512;

/// One block: c [rows, 64] (stride c_stride) = a [rows, depth] (stride a_stride) * panel, or += .
/// depth must be B's padded depth, so A's rows must be readable and finite up to there.
/// columns: 64, or less at the right edge of a C without padding.
void multiply_block(const c10::BFloat16* a, std::int64_t a_stride, std::int64_t rows,
                    const c10::BFloat16* panel, std::int64_t depth, float* c, std::int64_t c_stride,
                    bool add, std::int64_t columns = PackedMatrix::kPanelColumns);

/// The same into a tile that is in the cache, c [rows, 64] = a * panel with rows of 64, in products
/// of kTileDepth, which run faster than one of the whole depth.
void multiply_tile(const c10::BFloat16* a, std::int64_t a_stride, std::int64_t rows,
                   const c10::BFloat16* panel, std::int64_t depth, float* c,
                   std::int64_t columns = PackedMatrix::kPanelColumns);

/// Gives back the tile registers' state of this thread; after the last block of a kernel.
void end_of_blocks();

/// x [T, in] w^T for w [out, in], bf16. `in` must be a multiple of 32.
at::Tensor packed_linear(const at::Tensor& x, const at::Tensor& weight);

/// dy [T, out] w, bf16. `out` must be a multiple of 32.
at::Tensor packed_input_gradient(const at::Tensor& dy, const at::Tensor& weight);

/// gradient [out, in] (fp32) += dy^T x, summed in fp32, or begins with it.
void packed_weight_gradient(const at::Tensor& dy, const at::Tensor& x, at::Tensor& gradient,
                            GradientSum sum = GradientSum::kContinue);

/// gradient [rows, columns] (fp32, contiguous) += transposed_a [rows, depth] * b, for A already
/// transposed (stride a_stride) and B packed with that depth. Without `add` the product replaces
/// what was there.
void add_product(const c10::BFloat16* transposed_a, std::int64_t a_stride, std::int64_t rows,
                 const PackedMatrix& b, float* gradient, std::int64_t columns, bool add = true);

}  // namespace hetmoe
