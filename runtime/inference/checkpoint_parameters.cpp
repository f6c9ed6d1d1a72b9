#include "runtime/inference/checkpoint_parameters.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <string>

#include "core/model/parameter_specs.h"
#include "runtime/checkpoint/tensor_shapes.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kElementsAtOnce = 4 << 20;

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
    read_rows(checkpoint, spec.name, 0,
              store.dense(spec.name).value.view({spec.rows, spec.columns}));
  }
}

void read_slice(CheckpointReader& checkpoint, const Slice& slice, const SliceWeights& weights) {
  const std::int64_t width = slice.width();
  const auto read = [&](ExpertMatrix matrix, const at::Tensor& target) {
    read_rows(checkpoint, expert_tensor_name(slice.layer, slice.expert, matrix), slice.begin,
              target);
  };
  read(ExpertMatrix::kGate, weights.gate_up.narrow(0, 0, width));
  read(ExpertMatrix::kUp, weights.gate_up.narrow(0, width, width));
  read(ExpertMatrix::kDown, weights.down);
}

}  // namespace

void read_parameters(CheckpointReader& checkpoint, const ModelConfig& model,
                     ParameterStore& store) {
  require_tensors(checkpoint.manifest(), tensor_shapes(model), /*moments=*/false,
                  checkpoint.path().string());
  read_dense(checkpoint, store);
  for (int layer = 0; layer < store.num_layers(); ++layer) {
    const auto slices = store.layer_slices(layer);
    const auto weights = store.layer_weights(layer);
    for (std::size_t i = 0; i < slices.size(); ++i) {
      read_slice(checkpoint, slices[i], weights[i]);
    }
  }
}

}  // namespace hetmoe
