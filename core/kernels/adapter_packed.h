#pragma once

#include <ATen/core/Tensor.h>

#include "core/kernels/adapter.h"

namespace hetmoe {

/// The adapters of adapter.h in bf16 on packed products: everything between the products is done
/// while a block of rows is in the cache.

/// bf16 on a processor with packed products, D and r multiples of 32.
bool can_pack_adapters(const at::Tensor& x, const Adapters& adapters);

/// Fills the rows of y that are in a group, and hidden.
void packed_adapter_forward(const at::Tensor& x, const TokenGroups& groups,
                            const Adapters& adapters, at::Tensor& y, at::Tensor& hidden);

/// Fills the rows of dx that are in a group, and begins or continues the sums of `gradients`.
void packed_adapter_backward(const at::Tensor& dy, const at::Tensor& x, const TokenGroups& groups,
                             const Adapters& adapters, const at::Tensor& hidden,
                             Adapters& gradients, GradientSum sum, at::Tensor& dx);

}  // namespace hetmoe
