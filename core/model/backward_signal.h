#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace hetmoe {

/// h itself, without a copy. In the backward pass `reached` is called once the gradient of h is
/// whole: all that was computed from the result has had its backward pass by then, and nothing that
/// h was computed from has begun it. `reached` runs on the thread
/// that does the backward pass: on a GPU it is one of autograd's.
at::Tensor signal_in_backward(const at::Tensor& h, std::function<void()> reached);

}  // namespace hetmoe
