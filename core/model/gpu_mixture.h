#pragma once

#include <memory>
#include <vector>

#include "core/kernels/expert_kernels.h"
#include "core/kernels/gpu/product_table.h"
#include "core/model/gpu_token_dispatcher.h"
#include "core/model/moe_layer.h"
#include "core/model/slice.h"

namespace hetmoe {

/// Layers on tensors of the GPU, whose experts are multiplied as `products` says, leave `reserve`
/// multiprocessors to others (core/kernels/gpu/grouped_products.h) and keep for their backward pass
/// what `gate_up` says; without CUDA built in a broken invariant.
std::unique_ptr<Mixture> make_gpu_mixture(std::unique_ptr<GpuTokenDispatcher> dispatcher,
                                          const gpu::ProductTable& products = {}, int reserve = 0,
                                          GateUpProducts gate_up = GateUpProducts::kKept);

/// One rank: nothing is sent. `slices` as make_local_token_dispatcher takes them.
std::unique_ptr<GpuTokenDispatcher> make_local_gpu_token_dispatcher(
    const std::vector<Slice>& slices);

}  // namespace hetmoe
