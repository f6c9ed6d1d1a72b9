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
  at::Tensor gradient;  ///< same shape, fp32 (fp64 for fp64); undefined with GradientMemory::kNone
};

/// Whether a store has room for gradients. Without it nothing but evaluation may run.
enum class GradientMemory : std::uint8_t { kHeld, kNone };

/// The parameters that one rank computes with: values (compute type) and gradients (fp32, fp64 for
/// fp64) of all dense tensors, in the order of dense_tensor_specs, and of the slices placed here:
/// one buffer per layer, so that slices can move layer by layer. A slice is 3 w rows: gate, up,
/// down; the slices of a layer follow one another by (expert, begin). Masters and moments are not
/// here: owners hold them (parallel/ownership).
class ParameterStore {
 public:
  /// `slices` must be sorted. type: kFloat, kBFloat16 or, on a CPU, kDouble.
  ParameterStore(const ModelConfig& config, const std::vector<Slice>& slices, at::ScalarType type,
                 GradientMemory gradients = GradientMemory::kHeld, at::Device device = at::kCPU);

  ParameterStore(const ParameterStore&) = delete;
  ParameterStore& operator=(const ParameterStore&) = delete;

  const Parameter& dense(const std::string& name) const;
  /// Rows of several tensors that follow one another, as one matrix.
  Parameter dense_rows(const std::string& first, const std::string& last) const;
  /// Slices of one layer held here, by (expert, begin). Valid until the layer's slices change.
  std::span<SliceWeights> layer_weights(int layer) { return layers_[layer].weights; }
  std::span<const Slice> layer_slices(int layer) const { return layers_[layer].slices; }

  int num_layers() const { return static_cast<int>(layers_.size()); }
  std::int64_t slice_count() const;
  const std::vector<TensorSpec>& dense_specs() const { return specs_; }
  const Initial& expert_initial() const { return expert_initial_; }
  std::int64_t hidden_size() const { return hidden_size_; }
  std::int64_t dense_elements() const { return dense_.values.numel(); }
  std::int64_t elements() const;

  at::Tensor& dense_values() { return dense_.values; }
  at::Tensor& dense_gradients() { return dense_.gradients; }
  at::Tensor& slice_values(int layer) { return layers_[layer].flat.values; }
  at::Tensor& slice_gradients(int layer) { return layers_[layer].flat.gradients; }
  at::ScalarType type() const { return dense_.values.scalar_type(); }
  at::Device device() const { return dense_.values.device(); }
  void zero_gradients();

  /// Between steps: frees the gradients of a layer's slices, which may not be used until
  /// `replace_slices` has put others in their place.
  void release_slice_gradients(int layer);
  /// The layer's slices from now on, sorted, with their values one after another; gradients are 0.
  void replace_slices(int layer, std::vector<Slice> slices, at::Tensor values);

 private:
  struct Flat {
    at::Tensor values;
    at::Tensor gradients;
  };
  struct LayerSlices {
    std::vector<Slice> slices;
    Flat flat;
    std::vector<SliceWeights> weights;
  };

  at::Tensor zero_gradients_of(const at::Tensor& values) const;
  void view_dense();
  void view_slices(LayerSlices& layer) const;

  GradientMemory gradient_memory_;
  std::int64_t hidden_size_;
  Initial expert_initial_;
  std::vector<TensorSpec> specs_;
  std::map<std::string, std::int64_t> offsets_;
  Flat dense_;
  std::map<std::string, Parameter> dense_views_;
  std::vector<LayerSlices> layers_;
};

/// Elements of slices that follow one another in a flat buffer.
std::int64_t elements_of_slices(std::span<const Slice> slices, std::int64_t hidden_size);

}  // namespace hetmoe
