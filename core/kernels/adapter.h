#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "core/kernels/gpu/grouped_products.h"
#include "core/kernels/gradient_sum.h"
#include "core/kernels/token_groups.h"

namespace hetmoe {

/// G small experts relu(x down + down_bias) up + up_bias, or their gradients; r hidden units.
struct Adapters {
  at::Tensor down;       ///< [G, D, r]
  at::Tensor up;         ///< [G, r, D]
  at::Tensor down_bias;  ///< [G, r]
  at::Tensor up_bias;    ///< [G, D]

  std::int64_t size() const { return down.size(0); }
  std::int64_t rank() const { return down.size(2); }
  /// Adapters [begin, begin + count), without a copy.
  Adapters narrow(std::int64_t begin, std::int64_t count) const;
};

/// Memory for gradients in the shape of `adapters` and the type that they are summed in: fp32, fp64
/// for fp64. The first has no values yet.
Adapters empty_gradients_of(const Adapters& adapters);
Adapters zero_gradients_of(const Adapters& adapters);

struct AdapterForward {
  at::Tensor y;       ///< [T, D], type of x; 0 for tokens in no group
  at::Tensor hidden;  ///< [grouped tokens, r], in order of the groups: for backward
};

/// `products` of the functions below for tensors of a device: on a GPU handles of cuBLAS with their
/// memory, used by one thread at a time; a CPU needs none, null.
std::unique_ptr<gpu::GroupedProducts> make_group_products(at::Device device);

/// Group g of the tokens goes through adapter g. Shape: x [T, D]; weights of x's type, contiguous.
/// bf16 products sum in fp32 and round once, to the hidden layer and to y.
AdapterForward adapter_forward(const at::Tensor& x, const TokenGroups& groups,
                               const Adapters& adapters, gpu::GroupedProducts* products = nullptr);

/// Gives dx [T, D], type of x, and the gradients of the weights, token after token (fp32; fp64).
at::Tensor adapter_backward(const at::Tensor& dy, const at::Tensor& x, const TokenGroups& groups,
                            const Adapters& adapters, const at::Tensor& hidden, Adapters& gradients,
                            GradientSum sum = GradientSum::kContinue,
                            gpu::GroupedProducts* products = nullptr);

}  // namespace hetmoe
