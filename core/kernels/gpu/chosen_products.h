#pragma once

#include <memory>

#include "core/kernels/gpu/grouped_products.h"
#include "core/kernels/gpu/product_table.h"

namespace hetmoe::gpu {

/// Each call in the way that the table names for its class on the calling thread's device, on four
/// streams where it names none: an empty table is always right. Ways that it does not name for this
/// device are not made and take no memory. All runs are on one stream. `reserve`:
/// grouped_products.h.
std::unique_ptr<GroupedProducts> make_chosen_products(const ProductTable& table, int reserve = 0);

/// One way for all calls; `streams` do what it does not do.
std::shared_ptr<GroupedProducts> make_products(ProductWay way,
                                               std::shared_ptr<GroupedProducts> streams,
                                               int reserve = 0);

}  // namespace hetmoe::gpu
