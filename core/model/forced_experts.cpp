#include "core/model/forced_experts.h"

#include <span>

#include "core/base/check.h"

namespace hetmoe {

std::vector<std::int32_t> forced_experts(int layer, const RouterConfig& router,
                                         const PassState& pass) {
  const bool expected = router.forced != "none";
  HETMOE_CHECK(expected == (pass.forced != nullptr), "forced routing is ", router.forced);
  if (!expected) return {};
  const Microbatch& microbatch = pass.microbatch;
  const auto each = static_cast<std::size_t>(router.top_k);
  std::vector<std::int32_t> experts(microbatch.tokens() * each);
  for (std::int64_t token = 0; token < microbatch.tokens(); ++token) {
    pass.forced->select(layer, microbatch.step, microbatch.first_token + token,
                        std::span(experts).subspan(token * each, each));
  }
  return experts;
}

}  // namespace hetmoe
