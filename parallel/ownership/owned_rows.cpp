#include "parallel/ownership/owned_rows.h"

#include "core/tensor/zero_pages.h"

namespace hetmoe {

OwnerState make_owner_state(std::int64_t elements, at::ScalarType compute_type, at::Device device) {
  const auto fp32 = at::TensorOptions(at::kFloat).device(device);
  OwnerState state;
  if (compute_type != at::kFloat) state.masters = zero_pages(elements, fp32);
  state.exp_avg = zero_pages(elements, fp32);
  state.exp_avg_sq = zero_pages(elements, fp32);
  return state;
}

}  // namespace hetmoe
