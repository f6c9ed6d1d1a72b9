#pragma once

#include <ATen/core/Tensor.h>

#include "parallel/communicator/span.h"

namespace hetmoe {

/// The memory of a tensor as a communicator sees it: the one place that checks contiguity and type.
/// It must be the communicator's kind of memory. The tensor must outlive the collective.
Buffer tensor_buffer(const at::Tensor& tensor);
ConstBuffer const_tensor_buffer(const at::Tensor& tensor);

}  // namespace hetmoe
