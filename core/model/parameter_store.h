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

/// A view of one tensor, or of several whose rows follow one another: compute copy and gradient.
struct Parameter {
  at::Tensor value;     ///< [rows, columns] or [rows], compute type
  at::Tensor gradient;  ///< same shape, fp32 (fp64 for fp64); undefined with GradientMemory::kNone
  std::span<GradientSum>
      sums;  ///< the store's: how the next part of each tensor's gradient is given

  /// How the caller must give its part of the gradient: the first in a step writes, others add.
  GradientSum next_sum() const;
};

/// The same for parameters whose gradients always get their parts together.
GradientSum next_sum_of(std::span<const Parameter> parameters);

/// Whether a store has room for gradients. Without it nothing but evaluation may run.
enum class GradientMemory : std::uint8_t { kHeld, kNone };

/// The parameters that one rank computes with: values (compute type) and gradients (fp32, fp64 for
/// fp64) of all dense tensors, in the order of dense_tensor_specs, and of the slices placed here:
/// one buffer per layer, so that slices can move layer by layer. A slice is 3 w rows: gate, up,
/// down; the slices of a layer follow one another by (expert, begin). Masters and moments are not
/// here: owners hold them (parallel/ownership).
///
/// Gradients are not cleared before a step. From begin_gradients on what they hold has no meaning;
/// the first part of each is written and others are added (Parameter::next_sum, SliceWeights::sum),
/// and finish_gradients clears those that nobody gave a part to. New gradients are 0.
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

  /// A step begins: gradients have no value until their first part.
  void begin_gradients();
  /// All parts of the block's gradients have been given: those without any become 0. Again:
  /// nothing.
  void finish_gradients(int block);

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
  void finish_dense(std::size_t spec);
  static void finish_slice(SliceWeights& slice);
  void view_slices(LayerSlices& layer) const;

  GradientMemory gradient_memory_;
  std::int64_t hidden_size_;
  Initial expert_initial_;
  std::vector<TensorSpec> specs_;
  std::vector<GradientSum> dense_sums_;  ///< [specs]
  std::map<std::string, std::int64_t> offsets_;
  Flat dense_;
  std::map<std::string, Parameter> dense_views_;
  std::vector<LayerSlices> layers_;
};

/// Elements of slices that follow one another in a flat buffer.
std::int64_t elements_of_slices(std::span<const Slice> slices, std::int64_t hidden_size);

}  // namespace hetmoe
