#include "core/model/parameter_store.h"

#include <algorithm>
#include <iterator>

#include "core/base/check.h"
#include "core/kernels/tensor_work.h"
#include "core/tensor/zero_pages.h"

namespace hetmoe {
namespace {

/// Of no buffer: no view.
at::Tensor vector(const at::Tensor& flat, std::int64_t offset, std::int64_t elements) {
  return flat.defined() ? flat.narrow(0, offset, elements) : at::Tensor();
}

at::Tensor matrix(const at::Tensor& flat, std::int64_t offset, std::int64_t rows,
                  std::int64_t columns) {
  return flat.defined() ? vector(flat, offset, rows * columns).view({rows, columns}) : at::Tensor();
}

void clear(const at::Tensor& gradient) {
  const Operation operation("zero gradients", {.bytes = bytes_of(gradient)});
  gradient.zero_();
}

}  // namespace

GradientSum Parameter::next_sum() const { return next_sum_of(std::span(this, 1)); }

GradientSum next_sum_of(std::span<const Parameter> parameters) {
  const GradientSum next = parameters.front().sums.front();
  for (const Parameter& parameter : parameters) {
    for (GradientSum& sum : parameter.sums) {
      HETMOE_CHECK(sum == next, "some of the tensors have a gradient, others have none");
      sum = GradientSum::kContinue;
    }
  }
  return next;
}

at::Tensor ParameterStore::zero_gradients_of(const at::Tensor& values) const {
  if (gradient_memory_ == GradientMemory::kNone) return {};
  const bool wide = values.scalar_type() == at::kDouble;
  return zero_pages(values.numel(), values.options().dtype(wide ? at::kDouble : at::kFloat));
}

ParameterStore::ParameterStore(const ModelConfig& config, const std::vector<Slice>& slices,
                               at::ScalarType type, GradientMemory gradients, at::Device device)
    : gradient_memory_(gradients),
      hidden_size_(config.hidden_size),
      expert_initial_(initial_of_experts(config)),
      specs_(dense_tensor_specs(config)),
      dense_sums_(specs_.size(), GradientSum::kContinue),
      layers_(static_cast<std::size_t>(config.num_layers)) {
  HETMOE_CHECK(std::is_sorted(slices.begin(), slices.end()), "slices must be sorted");
  std::int64_t elements = 0;
  for (const TensorSpec& spec : specs_) {
    offsets_[spec.name] = elements;
    elements += spec.elements();
  }
  if (config.tie_embeddings) offsets_["head"] = offsets_.at("embedding");
  const auto options = at::TensorOptions(type).device(device);
  dense_.values = zero_pages(elements, options);
  dense_.gradients = zero_gradients_of(dense_.values);
  view_dense();
  if (config.tie_embeddings) dense_views_["head"] = dense_views_.at("embedding");
  for (int layer = 0; layer < config.num_layers; ++layer) {
    std::vector<Slice> here;
    std::copy_if(slices.begin(), slices.end(), std::back_inserter(here),
                 [&](const Slice& slice) { return slice.layer == layer; });
    at::Tensor values = zero_pages(elements_of_slices(here, hidden_size_), options);
    replace_slices(layer, std::move(here), std::move(values));
  }
}

void ParameterStore::view_dense() {
  for (std::size_t i = 0; i < specs_.size(); ++i) {
    const TensorSpec& spec = specs_[i];
    const std::int64_t offset = offsets_.at(spec.name);
    const std::span<GradientSum> sum(&dense_sums_[i], 1);
    if (spec.is_matrix) {
      dense_views_[spec.name] = {matrix(dense_.values, offset, spec.rows, spec.columns),
                                 matrix(dense_.gradients, offset, spec.rows, spec.columns), sum};
    } else {
      dense_views_[spec.name] = {vector(dense_.values, offset, spec.rows),
                                 vector(dense_.gradients, offset, spec.rows), sum};
    }
  }
}

void ParameterStore::view_slices(LayerSlices& layer) const {
  const auto& [values, gradients] = layer.flat;
  std::int64_t offset = 0;
  for (const Slice& slice : layer.slices) {
    const std::int64_t width = slice.width();
    const std::int64_t down = offset + 2 * width * hidden_size_;
    layer.weights.push_back({matrix(values, offset, 2 * width, hidden_size_),
                             matrix(values, down, width, hidden_size_),
                             matrix(gradients, offset, 2 * width, hidden_size_),
                             matrix(gradients, down, width, hidden_size_)});
    offset = down + width * hidden_size_;
  }
}

void ParameterStore::release_slice_gradients(int layer) {
  layers_[layer].weights.clear();
  layers_[layer].flat.gradients.reset();
}

void ParameterStore::replace_slices(int layer, std::vector<Slice> slices, at::Tensor values) {
  HETMOE_CHECK(std::is_sorted(slices.begin(), slices.end()), "slices must be sorted");
  HETMOE_CHECK(values.numel() == elements_of_slices(slices, hidden_size_) &&
                   values.scalar_type() == type() && values.device() == device(),
               values.numel(), " values for the slices of layer ", layer);
  layers_[layer] = {std::move(slices), {std::move(values), {}}, {}};  // frees the old values first
  layers_[layer].flat.gradients = zero_gradients_of(layers_[layer].flat.values);
  view_slices(layers_[layer]);
}

void ParameterStore::begin_gradients() {
  std::ranges::fill(dense_sums_, GradientSum::kBegin);
  for (LayerSlices& layer : layers_) {
    for (SliceWeights& slice : layer.weights) slice.sum = GradientSum::kBegin;
  }
}

void ParameterStore::finish_gradients(int block) {
  for (std::size_t i = 0; i < specs_.size(); ++i) {
    if (specs_[i].block == block) finish_dense(i);
  }
  if (block < 0 || block >= num_layers()) return;
  for (SliceWeights& slice : layers_[block].weights) finish_slice(slice);
}

void ParameterStore::finish_dense(std::size_t spec) {
  if (dense_sums_[spec] == GradientSum::kContinue) return;
  clear(dense_views_.at(specs_[spec].name).gradient);
  dense_sums_[spec] = GradientSum::kContinue;
}

void ParameterStore::finish_slice(SliceWeights& slice) {
  if (slice.sum == GradientSum::kContinue) return;
  clear(slice.gate_up_gradient);
  clear(slice.down_gradient);
  slice.sum = GradientSum::kContinue;
}

std::int64_t ParameterStore::slice_count() const {
  std::int64_t count = 0;
  for (const LayerSlices& layer : layers_) count += static_cast<std::int64_t>(layer.slices.size());
  return count;
}

std::int64_t ParameterStore::elements() const {
  std::int64_t elements = dense_elements();
  for (const LayerSlices& layer : layers_) elements += layer.flat.values.numel();
  return elements;
}

const Parameter& ParameterStore::dense(const std::string& name) const {
  const auto found = dense_views_.find(name);
  HETMOE_CHECK(found != dense_views_.end(), "no tensor named '", name, "'");
  return found->second;
}

Parameter ParameterStore::dense_rows(const std::string& first, const std::string& last) const {
  const std::int64_t begin = offsets_.at(first);
  const Parameter& end = dense(last);
  const std::int64_t columns = end.value.size(1);
  const std::int64_t elements = offsets_.at(last) + end.value.numel() - begin;
  HETMOE_CHECK(elements > 0 && elements % columns == 0, first, " to ", last,
               " is not one matrix of ", columns, " columns");
  GradientSum* sums = dense(first).sums.data();
  return {matrix(dense_.values, begin, elements / columns, columns),
          matrix(dense_.gradients, begin, elements / columns, columns),
          {sums, end.sums.data() + end.sums.size()}};
}

std::int64_t elements_of_slices(std::span<const Slice> slices, std::int64_t hidden_size) {
  std::int64_t rows = 0;
  for (const Slice& slice : slices) rows += slice.width();
  return rows * kExpertMatrices * hidden_size;
}

}  // namespace hetmoe
