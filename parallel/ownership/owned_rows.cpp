#include "parallel/ownership/owned_rows.h"

#include <ATen/ops/zeros.h>

namespace hetmoe {

OwnerState make_owner_state(std::int64_t elements, at::ScalarType compute_type, at::Device device) {
  const auto fp32 = at::TensorOptions(at::kFloat).device(device);
  OwnerState state;
  if (compute_type != at::kFloat) state.masters = at::zeros({elements}, fp32);
  state.exp_avg = at::zeros({elements}, fp32);
  state.exp_avg_sq = at::zeros({elements}, fp32);
  return state;
}

}  // namespace hetmoe
