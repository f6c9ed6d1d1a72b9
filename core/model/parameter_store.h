#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/kernels/expert_kernels.h"
#include "core/model/model_config.h"
#include "core/model/parameter_specs.h"
#include "core/model/slice.h"

namespace hetmoe {

/// A view of one tensor: its compute copy and the gradient that backward adds to.
struct Parameter {
  at::Tensor value;     ///< [rows, columns] or [rows], compute type
  at::Tensor gradient;  ///< same shape, fp32 (fp64 for fp64)
};

/// The parameters that one rank computes with: all dense tensors and the slices placed here, in one
/// flat buffer of values (compute type) and one of gradients (fp32):
///   [ dense tensors in the order of dense_tensor_specs | slices by (layer, expert, begin) ]
/// A slice is 3 w rows: gate, up, down. Masters and moments are not here: owners hold them
/// (parallel/ownership).
class ParameterStore {
 public:
  /// `slices` must be sorted. type: kFloat, kBFloat16 or kDouble.
  ParameterStore(const ModelConfig& config, std::vector<Slice> slices, at::ScalarType type);

  ParameterStore(const ParameterStore&) = delete;
  ParameterStore& operator=(const ParameterStore&) = delete;

  const Parameter& dense(const std::string& name) const;
  /// Rows of several tensors that follow one another, as one matrix.
  Parameter dense_rows(const std::string& first, const std::string& last) const;
  /// Slices of one layer held here, by (expert, begin).
  std::span<SliceWeights> layer_weights(int layer) { return weights_[layer]; }
  std::span<const Slice> layer_slices(int layer) const { return layer_slices_[layer]; }

  const std::vector<TensorSpec>& dense_specs() const { return specs_; }
  const std::vector<Slice>& slices() const { return slices_; }
  std::int64_t hidden_size() const { return hidden_size_; }
  /// Offset of a dense tensor, or of a slice (by its index in slices()), in the flat buffers.
  std::int64_t dense_offset(const std::string& name) const { return offsets_.at(name); }
  std::int64_t slice_offset(std::size_t index) const { return slice_offsets_[index]; }
  std::int64_t dense_elements() const { return dense_elements_; }
  std::int64_t elements() const { return values_.numel(); }

  at::Tensor& values() { return values_; }
  at::Tensor& gradients() { return gradients_; }
  at::ScalarType type() const { return values_.scalar_type(); }
  void zero_gradients() { gradients_.zero_(); }

 private:
  void view_dense();
  void view_slices(int num_layers);

  std::int64_t hidden_size_;
  std::vector<TensorSpec> specs_;
  std::vector<Slice> slices_;
  std::map<std::string, std::int64_t> offsets_;
  std::vector<std::int64_t> slice_offsets_;
  std::int64_t dense_elements_ = 0;
  at::Tensor values_;
  at::Tensor gradients_;
  std::map<std::string, Parameter> dense_;
  std::vector<std::vector<SliceWeights>> weights_;
  std::vector<std::vector<Slice>> layer_slices_;
};

}  // namespace hetmoe
