#pragma once

#include <ATen/core/Tensor.h>

#include <utility>
#include <vector>

namespace hetmoe {

/// A number that the host knows, or that a GPU is still working out.
class Deferred {
 public:
  Deferred(double here = 0) : here_(here) {}  // NOLINT: what is known needs no ceremony
  explicit Deferred(at::Tensor there) : there_(std::move(there)) {}

  /// Waits for the GPU.
  double value() const { return there_.defined() ? there_.item<double>() : here_; }
  /// [1] fp64; undefined where the host knows the number.
  const at::Tensor& there() const { return there_; }

 private:
  double here_ = 0;
  at::Tensor there_;
};

/// The values of tensors of the GPU, one after another, as fp64. The host waits once for all.
std::vector<double> fetched(const std::vector<at::Tensor>& there);

}  // namespace hetmoe
