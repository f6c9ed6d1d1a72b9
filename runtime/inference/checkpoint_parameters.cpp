#include "runtime/inference/checkpoint_parameters.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <span>
#include <string>

#include "core/base/error.h"
#include "core/model/parameter_specs.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kElementsAtOnce = 4 << 20;

std::string shape_text(std::int64_t rows, std::int64_t columns) {
  std::string text = "[";  // GCC 12 warns of "[" + a temporary
  return text.append(std::to_string(rows)).append(", ").append(std::to_string(columns)).append("]");
}

void require_tensor(const CheckpointReader& checkpoint, const std::string& name, std::int64_t rows,
                    std::int64_t columns) {
  const CheckpointTensor* tensor = checkpoint.find(name);
  const std::string place = checkpoint.path().string() + ": tensor " + name;
  if (tensor == nullptr) throw StorageError(place + " is missing, the model needs it");
  if (tensor->rows() == rows && tensor->columns() == columns) return;
  throw StorageError(place + " is " + shape_text(tensor->rows(), tensor->columns()) +
                     ", the model needs " + shape_text(rows, columns));
}

/// Rows [begin, begin + target.size(0)) of a tensor into `target` [rows, columns].
void read_rows(CheckpointReader& checkpoint, const std::string& name, std::int64_t begin,
               const at::Tensor& target) {
  const std::int64_t columns = target.size(1);
  const std::int64_t at_once = std::max<std::int64_t>(1, kElementsAtOnce / columns);
  for (std::int64_t row = 0; row < target.size(0); row += at_once) {
    const std::int64_t count = std::min(at_once, target.size(0) - row);
    const at::Tensor part = at::empty({count, columns}, at::TensorOptions(at::kFloat));
    checkpoint.read_rows(name, begin + row, begin + row + count,
                         {part.mutable_data_ptr<float>(), static_cast<std::size_t>(part.numel())});
    target.narrow(0, row, count).copy_(part);
  }
}

void read_dense(CheckpointReader& checkpoint, ParameterStore& store) {
  for (const TensorSpec& spec : store.dense_specs()) {
    require_tensor(checkpoint, spec.name, spec.rows, spec.columns);
    read_rows(checkpoint, spec.name, 0,
              store.dense(spec.name).value.view({spec.rows, spec.columns}));
  }
}

void read_slice(CheckpointReader& checkpoint, std::int64_t expert_width, const Slice& slice,
                const SliceWeights& weights) {
  const std::int64_t width = slice.width();
  const auto read = [&](ExpertMatrix matrix, const at::Tensor& target) {
    const std::string name = expert_tensor_name(slice.layer, slice.expert, matrix);
    require_tensor(checkpoint, name, expert_width, target.size(1));
    read_rows(checkpoint, name, slice.begin, target);
  };
  read(ExpertMatrix::kGate, weights.gate_up.narrow(0, 0, width));
  read(ExpertMatrix::kUp, weights.gate_up.narrow(0, width, width));
  read(ExpertMatrix::kDown, weights.down);
}

}  // namespace

void read_parameters(CheckpointReader& checkpoint, const ModelConfig& model,
                     ParameterStore& store) {
  const auto widths = expert_widths(model.experts);
  read_dense(checkpoint, store);
  for (int layer = 0; layer < store.num_layers(); ++layer) {
    const auto slices = store.layer_slices(layer);
    const auto weights = store.layer_weights(layer);
    for (std::size_t i = 0; i < slices.size(); ++i) {
      read_slice(checkpoint, widths[slices[i].expert], slices[i], weights[i]);
    }
  }
}

}  // namespace hetmoe
