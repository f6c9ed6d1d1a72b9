#include "parallel/dispatch/placed_mixture.h"

#include <utility>

#include "core/base/check.h"
#include "core/model/gpu_mixture.h"
#include "core/model/host_moe_layer.h"
#include "core/model/local_token_dispatcher.h"
#include "parallel/dispatch/all_to_all_token_dispatcher.h"
#include "parallel/dispatch/gpu_all_to_all.h"
#include "parallel/placement/held_slices.h"

namespace hetmoe {
namespace {

// Multiprocessors that products leave to NCCL's kernels, so that tokens travel while experts are
// computed. Not measured: enough for as many of NCCL's blocks, an eighth of an H100.
constexpr int kReserveForExchange = 16;

/// `placed`, which `follow` tells where to send from then on.
template <typename Dispatcher, typename Placed>
std::unique_ptr<Dispatcher> followed(std::unique_ptr<Placed> placed,
                                     std::function<void(const Placement&)>& follow) {
  follow = [there = placed.get()](const Placement& next) { there->follow(next); };
  return placed;
}

}  // namespace

PlacedMixture::PlacedMixture(Communicator& group, const Placement& placement,
                             const MixtureKind& kind) {
  const bool is_alone = group.size() == 1;
  if (kind.on_gpu) {
    mixture_ = make_gpu_mixture(
        is_alone
            ? make_local_gpu_token_dispatcher(slices_of_rank(placement, 0))
            : followed<GpuTokenDispatcher>(make_all_to_all_gpu_token_dispatcher(
                                               group, placement, kind.dispatch_parts, kind.nodes),
                                           follow_),
        kind.products, is_alone ? 0 : kReserveForExchange, kind.gate_up);
    return;
  }
  mixture_ = std::make_unique<HostMixture>(
      make_expert_kernels(kind.type, kind.hidden_size, kind.gate_up),
      is_alone ? make_local_token_dispatcher(slices_of_rank(placement, 0))
               : followed<TokenDispatcher>(
                     make_all_to_all_token_dispatcher(group, placement, kind.nodes), follow_));
}

void PlacedMixture::follow(const Placement& placement) {
  HETMOE_CHECK(follow_, "there is nowhere to move to");
  follow_(placement);
}

}  // namespace hetmoe
