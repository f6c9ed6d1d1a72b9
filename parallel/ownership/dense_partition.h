#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/model/parameter_specs.h"

namespace hetmoe {

/// Cuts the dense tensors, laid out one after another, into one contiguous range per rank, so that
/// owned elements, slices included, are as even as rows allow (water-filling: ranks that own more
/// slices get less). Gives ranks + 1 element offsets; every cut lies at a row of some tensor.
/// slice_elements [ranks]: elements of slices that each rank owns. Pure.
std::vector<std::int64_t> partition_dense(std::span<const TensorSpec> specs,
                                          std::span<const std::int64_t> slice_elements);

}  // namespace hetmoe
