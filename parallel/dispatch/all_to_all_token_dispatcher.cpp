#include "parallel/dispatch/all_to_all_token_dispatcher.h"

#include <utility>

#include "parallel/dispatch/token_exchanges.h"

namespace hetmoe {
namespace {

class AllToAllTokenDispatcher final : public PlacedTokenDispatcher {
 public:
  AllToAllTokenDispatcher(Communicator& group, const Placement& placement, RankNodes nodes)
      : traffic_(group, std::move(nodes)) {
    follow(placement);
  }

  void follow(const Placement& placement) override {
    servers_.clear();
    for (const LayerPlacement& layer : placement.layers) {
      servers_.push_back(servers_of(layer, traffic_.group().size()));
    }
  }

  std::unique_ptr<TokenExchange> start_dispatch(int layer, const at::Tensor& x,
                                                const Routing& routing) override {
    const bool two_hops = traffic_.nodes().has_two_levels();
    return (two_hops ? start_two_hops : start_one_hop)(traffic_, servers_[layer], x, routing);
  }

  ExchangedBytes bytes_sent() const override { return traffic_.bytes_sent(); }

 private:
  Traffic traffic_;
  std::vector<LayerServers> servers_;  ///< per layer
};

}  // namespace

std::unique_ptr<PlacedTokenDispatcher> make_all_to_all_token_dispatcher(Communicator& group,
                                                                        const Placement& placement,
                                                                        const RankNodes& nodes) {
  return std::make_unique<AllToAllTokenDispatcher>(group, placement, nodes);
}

}  // namespace hetmoe
