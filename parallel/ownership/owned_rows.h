#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "core/model/initial_values.h"

namespace hetmoe {

/// Rows of one global tensor that this rank owns: fp32 master, both moments and the summed
/// gradient, all one-dimensional views of `rows * columns` elements.
struct OwnedRows {
  std::string name;
  std::int64_t row_begin = 0;
  std::int64_t row_end = 0;
  std::int64_t columns = 1;
  bool is_matrix = true;
  Initial initial;
  at::Tensor master;
  at::Tensor exp_avg;
  at::Tensor exp_avg_sq;
  at::Tensor gradient;
  at::Tensor copy;  ///< compute copy; the same memory as master in fp32
};

/// Masters and moments of rows that are owned here, one after another in flat fp32 buffers.
struct OwnerState {
  at::Tensor masters;  ///< undefined in fp32: the compute copy is the master
  at::Tensor exp_avg;
  at::Tensor exp_avg_sq;
};

/// All zero, beside the compute copies.
OwnerState make_owner_state(std::int64_t elements, at::ScalarType compute_type, at::Device device);

}  // namespace hetmoe
