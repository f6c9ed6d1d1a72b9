#pragma once

#include "core/kernels/gpu/product_table.h"
#include "parallel/communicator/communicator.h"
#include "runtime/run_config.h"

namespace hetmoe {

/// The table that parallel.product_table names; empty if none. Each rank reads the file for its own
/// GPU; a fault that one of them finds is every rank's. Collective. Blocking.
gpu::ProductTable configured_products(const RunConfig& config, Communicator& control);

}  // namespace hetmoe
