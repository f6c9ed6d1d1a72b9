#include "runtime/calibration/model_shape.h"

#include <algorithm>

namespace hetmoe {

ModelConfig model_at(const CalibrationPlan& plan, std::int64_t hidden_size) {
  ModelConfig model = plan.model;
  model.head_dim = head_dim(plan.model);
  if (hidden_size != plan.model.hidden_size) {
    const std::int64_t heads = std::max<std::int64_t>(1, hidden_size / model.head_dim);
    model.num_heads = static_cast<int>(heads);
    model.num_kv_heads = model.num_heads;
    model.hidden_size = hidden_size;
  }
  return model;
}

AttentionShape attention_shape(const CalibrationPlan& plan, std::int64_t hidden_size,
                               std::int64_t length) {
  const ModelConfig model = model_at(plan, hidden_size);
  return {.sequences = 1,
          .length = length,
          .num_heads = model.num_heads,
          .num_kv_heads = model.num_kv_heads,
          .head_dim = head_dim(model),
          .rope_theta = model.rope_theta};
}

}  // namespace hetmoe
