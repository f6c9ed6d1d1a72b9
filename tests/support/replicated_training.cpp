#include "tests/support/replicated_training.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "core/model/initial_values.h"

namespace hetmoe::test {
namespace {

void add_rows(const std::string& name, std::int64_t first_row, std::int64_t rows,
              std::int64_t columns, int block, float* gradient, const at::Tensor& copies,
              std::vector<StoredRow>& all) {
  for (std::int64_t row = 0; row < rows; ++row) {
    all.push_back({.name = name,
                   .row = first_row + row,
                   .block = block,
                   .gradient = {gradient + row * columns, static_cast<std::size_t>(columns)},
                   .copy = copies.narrow(0, row * columns, columns)});
  }
}

}  // namespace

std::vector<StoredRow> rows_of(ParameterStore& store) {
  std::vector<StoredRow> all;
  std::int64_t next = 0;
  for (const TensorSpec& spec : store.dense_specs()) {
    add_rows(spec.name, 0, spec.rows, spec.columns, spec.block,
             store.dense_gradients().mutable_data_ptr<float>() + next,
             store.dense_values().narrow(0, next, spec.elements()), all);
    next += spec.elements();
  }
  const std::int64_t columns = store.hidden_size();
  for (int layer = 0; layer < store.num_layers(); ++layer) {
    next = 0;
    for (const Slice& slice : store.layer_slices(layer)) {
      for (int matrix = 0; matrix < kExpertMatrices; ++matrix) {
        add_rows(expert_tensor_name(layer, slice.expert, static_cast<ExpertMatrix>(matrix)),
                 slice.begin, slice.width(), columns, layer,
                 store.slice_gradients(layer).mutable_data_ptr<float>() + next,
                 store.slice_values(layer).narrow(0, next, slice.width() * columns), all);
        next += slice.width() * columns;
      }
    }
  }
  return all;
}

float gradient_of(int rank, std::int64_t step, const std::string& name, std::int64_t row,
                  std::int64_t column) {
  const auto tensor = static_cast<double>(std::hash<std::string>{}(name) % 1000);
  return static_cast<float>(std::sin(tensor + 0.7 * rank + 1.3 * static_cast<double>(step) +
                                     0.11 * static_cast<double>(row) +
                                     0.37 * static_cast<double>(column)));
}

ReplicatedTraining::ReplicatedTraining(const ModelConfig& model, const Placement& placement,
                                       const ExpertGroups& groups, std::uint64_t seed)
    : placement_(placement), groups_(groups) {
  for (const TensorSpec& spec : dense_tensor_specs(model)) add_tensor(spec, -1, -1, seed);
  const auto widths = expert_widths(model.experts);
  for (int layer = 0; layer < model.num_layers; ++layer) {
    for (int expert = 0; expert < model.experts.count; ++expert) {
      for (int matrix = 0; matrix < kExpertMatrices; ++matrix) {
        add_tensor({.name = expert_tensor_name(layer, expert, static_cast<ExpertMatrix>(matrix)),
                    .rows = widths[expert],
                    .columns = model.hidden_size,
                    .initial = initial_of_experts(model)},
                   layer, expert, seed);
      }
    }
  }
}

void ReplicatedTraining::add_tensor(const TensorSpec& spec, int layer, int expert,
                                    std::uint64_t seed) {
  const std::vector<float> zero(static_cast<std::size_t>(spec.elements()), 0.0F);
  Tensor& tensor = tensors_[spec.name];
  tensor = {.spec = spec,
            .layer = layer,
            .expert = expert,
            .master = zero,
            .gradient = zero,
            .exp_avg = zero,
            .exp_avg_sq = zero};
  initial_rows(seed, spec.name, spec.initial, 0, spec.columns, tensor.master);
}

bool ReplicatedTraining::holds(int rank, const Tensor& tensor, std::int64_t row) const {
  if (tensor.layer < 0) return true;
  const auto& slices = placement_.layers[tensor.layer].slices;
  return std::any_of(slices.begin(), slices.end(), [&](const PlacedSlice& slice) {
    return slice.expert == tensor.expert && slice.begin <= row && row < slice.end &&
           slice.rank == groups_.rank_in_group(rank);
  });
}

void ReplicatedTraining::sum_gradients(std::int64_t step) {
  for (auto& [name, tensor] : tensors_) {
    for (std::int64_t row = 0; row < tensor.spec.rows; ++row) {
      bool is_first = true;
      for (int rank = 0; rank < groups_.ranks(); ++rank) {
        if (!holds(rank, tensor, row)) continue;
        for (std::int64_t column = 0; column < tensor.spec.columns; ++column) {
          float& sum = tensor.gradient[row * tensor.spec.columns + column];
          const float part = gradient_of(rank, step, name, row, column);
          sum = is_first ? part : sum + part;
        }
        is_first = false;
      }
    }
  }
}

void ReplicatedTraining::update(const AdamWStep& step) {
  std::vector<AdamWPiece> pieces;
  for (auto& [name, tensor] : tensors_) {
    pieces.push_back({.master = tensor.master.data(),
                      .gradient = tensor.gradient.data(),
                      .exp_avg = tensor.exp_avg.data(),
                      .exp_avg_sq = tensor.exp_avg_sq.data(),
                      .count = tensor.spec.elements(),
                      .decays = tensor.spec.is_matrix});
  }
  adamw_update(pieces, step);
}

std::span<const float> ReplicatedTraining::gradient(const std::string& name,
                                                    std::int64_t row) const {
  const Tensor& tensor = tensors_.at(name);
  return std::span(tensor.gradient).subspan(row * tensor.spec.columns, tensor.spec.columns);
}

std::span<const float> ReplicatedTraining::master(const std::string& name, std::int64_t row) const {
  const Tensor& tensor = tensors_.at(name);
  return std::span(tensor.master).subspan(row * tensor.spec.columns, tensor.spec.columns);
}

}  // namespace hetmoe::test
