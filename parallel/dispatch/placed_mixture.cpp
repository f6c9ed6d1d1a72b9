#include "parallel/dispatch/placed_mixture.h"

#include <utility>

#include "core/base/check.h"
#include "core/model/gpu_mixture.h"
#include "core/model/host_moe_layer.h"
#include "core/model/local_token_dispatcher.h"
#include "parallel/dispatch/all_to_all_token_dispatcher.h"
#include "parallel/placement/held_slices.h"

namespace hetmoe {

PlacedMixture::PlacedMixture(Communicator& group, const Placement& placement,
                             const MixtureKind& kind) {
  if (kind.on_gpu) {
    HETMOE_CHECK(group.size() == 1, "several GPUs");
    mixture_ = make_gpu_mixture(make_local_gpu_token_dispatcher(slices_of_rank(placement, 0)));
    return;
  }
  std::unique_ptr<TokenDispatcher> dispatcher;
  if (group.size() == 1) {
    dispatcher = make_local_token_dispatcher(slices_of_rank(placement, 0));
  } else {
    auto placed = make_all_to_all_token_dispatcher(group, placement);
    follow_ = [there = placed.get()](const Placement& next) { there->follow(next); };
    dispatcher = std::move(placed);
  }
  mixture_ = std::make_unique<HostMixture>(make_expert_kernels(kind.type, kind.hidden_size),
                                           std::move(dispatcher));
}

void PlacedMixture::follow(const Placement& placement) {
  HETMOE_CHECK(follow_, "there is nowhere to move to");
  follow_(placement);
}

}  // namespace hetmoe
