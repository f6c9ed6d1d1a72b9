#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "core/kernels/adapter.h"
#include "core/kernels/gpu/grouped_products.h"

/// core/kernels/adapter.h for tensors of a GPU: the same contracts, fp32 and bf16. The groups come
/// from the host and are copied aside first; the host does not wait. Products of all groups are one
/// call of cuBLAS, or one each where few groups multiply bf16 to fp32.
/// Memory besides results: two rows of D for every grouped token; in the backward pass of many bf16
/// groups another in fp32.
namespace hetmoe::on_gpu {

std::unique_ptr<gpu::GroupedProducts> make_group_products();

AdapterForward adapter_forward(const at::Tensor& x, const TokenGroups& groups,
                               const Adapters& adapters, gpu::GroupedProducts& products);
at::Tensor adapter_backward(const at::Tensor& dy, const at::Tensor& x, const TokenGroups& groups,
                            const Adapters& adapters, const at::Tensor& hidden, Adapters& gradients,
                            GradientSum sum, gpu::GroupedProducts& products);

}  // namespace hetmoe::on_gpu
