#include "core/base/check.h"
#include "parallel/dispatch/gpu_all_to_all.h"
#include "parallel/dispatch/on_gpu/all_to_all_token_exchange.h"

namespace hetmoe {
namespace {

class AllToAllGpuTokenDispatcher final : public PlacedGpuTokenDispatcher {
 public:
  AllToAllGpuTokenDispatcher(Communicator& group, const Placement& placement, int parts,
                             const RankNodes& nodes)
      : traffic_(group, nodes), parts_(parts) {
    HETMOE_CHECK(group.memory() == MemoryKind::kDevice, "a group over the host's memory");
    follow(placement);
  }

  void follow(const Placement& placement) override {
    layers_.clear();
    for (const LayerPlacement& layer : placement.layers) {
      layers_.emplace_back(layer, traffic_.group().rank(), traffic_.group().size(), parts_);
    }
  }

  std::unique_ptr<GpuTokenExchange> start_dispatch(int layer, const at::Tensor& x,
                                                   const GpuRouting& routing) override {
    return std::make_unique<on_gpu::AllToAllTokenExchange>(
        traffic_, layers_[static_cast<std::size_t>(layer)], x, routing);
  }

  ExchangedBytes bytes_sent() const override { return traffic_.bytes_sent(); }

 private:
  Traffic traffic_;
  int parts_;
  std::vector<on_gpu::PlacedLayer> layers_;
};

}  // namespace

std::unique_ptr<PlacedGpuTokenDispatcher> make_all_to_all_gpu_token_dispatcher(
    Communicator& group, const Placement& placement, int parts, const RankNodes& nodes) {
  return std::make_unique<AllToAllGpuTokenDispatcher>(group, placement, parts, nodes);
}

}  // namespace hetmoe
