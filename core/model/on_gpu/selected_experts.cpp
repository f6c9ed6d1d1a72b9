#include "core/model/on_gpu/selected_experts.h"

#include <bit>

#include "core/base/check.h"
#include "core/tensor/device.h"

namespace hetmoe::on_gpu {

SelectedExperts::SelectedExperts(const GpuRouting& routing)
    : probabilities_(routing.probabilities), mask_(empty_pinned(routing.mask.sizes(), at::kInt)) {
  mask_.copy_(routing.mask, /*non_blocking=*/true);
  copied_.record(compute_stream());
}

Routing SelectedExperts::routing() const {
  constexpr std::int32_t kBits = 32;
  HETMOE_CHECK(copied_.reached(), "the selected experts have not come yet");
  Routing routing;
  routing.probabilities = probabilities_;
  routing.offset.reserve(static_cast<std::size_t>(mask_.size(0)) + 1);
  routing.offset.push_back(0);
  const auto words = static_cast<std::int32_t>(mask_.size(1));
  const auto* word = mask_.const_data_ptr<std::int32_t>();
  for (std::int64_t token = 0; token < mask_.size(0); ++token) {
    for (std::int32_t w = 0; w < words; ++w, ++word) {
      for (auto bits = static_cast<std::uint32_t>(*word); bits != 0; bits &= bits - 1) {
        routing.expert.push_back(w * kBits + std::countr_zero(bits));
      }
    }
    routing.offset.push_back(routing.selections());
  }
  return routing;
}

}  // namespace hetmoe::on_gpu
