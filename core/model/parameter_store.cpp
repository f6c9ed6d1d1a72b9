#include "core/model/parameter_store.h"

#include <ATen/ops/zeros.h>

#include <algorithm>

#include "core/base/check.h"

namespace hetmoe {
namespace {

at::Tensor matrix(const at::Tensor& flat, std::int64_t offset, std::int64_t rows,
                  std::int64_t columns) {
  return flat.narrow(0, offset, rows * columns).view({rows, columns});
}

}  // namespace

ParameterStore::ParameterStore(const ModelConfig& config, std::vector<Slice> slices,
                               at::ScalarType type)
    : hidden_size_(config.hidden_size),
      specs_(dense_tensor_specs(config)),
      slices_(std::move(slices)) {
  HETMOE_CHECK(std::is_sorted(slices_.begin(), slices_.end()), "slices must be sorted");
  std::int64_t offset = 0;
  for (const TensorSpec& spec : specs_) {
    offsets_[spec.name] = offset;
    offset += spec.elements();
  }
  if (config.tie_embeddings) offsets_["head"] = offsets_.at("embedding");
  dense_elements_ = offset;
  for (const Slice& slice : slices_) {
    slice_offsets_.push_back(offset);
    offset += kExpertMatrices * slice.width() * hidden_size_;
  }
  values_ = at::zeros({offset}, at::TensorOptions(type));
  gradients_ =
      at::zeros({offset}, at::TensorOptions(type == at::kDouble ? at::kDouble : at::kFloat));
  view_dense();
  if (config.tie_embeddings) dense_["head"] = dense_.at("embedding");
  view_slices(config.num_layers);
}

void ParameterStore::view_dense() {
  for (const TensorSpec& spec : specs_) {
    const std::int64_t offset = offsets_.at(spec.name);
    if (spec.is_matrix) {
      dense_[spec.name] = {matrix(values_, offset, spec.rows, spec.columns),
                           matrix(gradients_, offset, spec.rows, spec.columns)};
    } else {
      dense_[spec.name] = {values_.narrow(0, offset, spec.rows),
                           gradients_.narrow(0, offset, spec.rows)};
    }
  }
}

void ParameterStore::view_slices(int num_layers) {
  weights_.resize(num_layers);
  layer_slices_.resize(num_layers);
  for (std::size_t i = 0; i < slices_.size(); ++i) {
    const Slice& slice = slices_[i];
    const std::int64_t width = slice.width();
    const std::int64_t down = slice_offsets_[i] + 2 * width * hidden_size_;
    weights_[slice.layer].push_back({matrix(values_, slice_offsets_[i], 2 * width, hidden_size_),
                                     matrix(values_, down, width, hidden_size_),
                                     matrix(gradients_, slice_offsets_[i], 2 * width, hidden_size_),
                                     matrix(gradients_, down, width, hidden_size_)});
    layer_slices_[slice.layer].push_back(slice);
  }
}

const Parameter& ParameterStore::dense(const std::string& name) const {
  const auto found = dense_.find(name);
  HETMOE_CHECK(found != dense_.end(), "no tensor named '", name, "'");
  return found->second;
}

Parameter ParameterStore::dense_rows(const std::string& first, const std::string& last) const {
  const std::int64_t begin = offsets_.at(first);
  const Parameter& end = dense(last);
  const std::int64_t columns = end.value.size(1);
  const std::int64_t elements = offsets_.at(last) + end.value.numel() - begin;
  HETMOE_CHECK(elements > 0 && elements % columns == 0, first, " to ", last,
               " is not one matrix of ", columns, " columns");
  return {matrix(values_, begin, elements / columns, columns),
          matrix(gradients_, begin, elements / columns, columns)};
}

}  // namespace hetmoe
