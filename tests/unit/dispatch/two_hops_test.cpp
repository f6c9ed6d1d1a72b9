#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include <array>

#include "parallel/communicator/local_communicator.h"
#include "tests/unit/dispatch/exchange_case.h"

namespace hetmoe::exchange_test {
namespace {

/// [ranks]
std::vector<ExchangeResult> results_of(const ExchangeCase& c, const Placement& placement) {
  std::vector<ExchangeResult> results(static_cast<std::size_t>(c.ranks));
  run_ranks(c.ranks, [&](Communicator& group) {
    const int rank = group.rank();
    const auto dispatcher = dispatcher_of(c, group, placement);
    const Routing routing = routing_of(c, rank);
    const at::Tensor x = rank_values("x", rank, routing.tokens());
    const at::Tensor dy = rank_values("dy", rank, routing.tokens());
    results[rank] = run_exchange(*dispatcher, placement, rank, routing, x, dy, map_of_rank(rank));
  });
  return results;
}

void expect_same_bits(const std::vector<ExchangeResult>& some,
                      const std::vector<ExchangeResult>& others) {
  for (std::size_t rank = 0; rank < some.size(); ++rank) {
    EXPECT_TRUE(some[rank].y.equal(others[rank].y)) << "rank " << rank;
    EXPECT_TRUE(some[rank].gradient.dx.equal(others[rank].gradient.dx)) << "rank " << rank;
    EXPECT_EQ(some[rank].gradient.dgates, others[rank].gradient.dgates) << "rank " << rank;
  }
}

TEST(TwoHops, OfOneNodeOrOfNodesOfOneRankHasTheBitsOfOneHop) {
  ExchangeCase c{.ranks = 4, .experts = 8, .placed = Placed::kReplicated};
  const Placement placement = placement_of(c);
  const auto plain = results_of(c, placement);
  for (const int ranks_per_node : {1, 4, 7}) {
    c.ranks_per_node = ranks_per_node;
    expect_same_bits(results_of(c, placement), plain);
  }
}

TEST(TwoHops, RepeatsBitForBit) {
  for (const Placed placed : {Placed::kCut, Placed::kReplicated}) {
    const ExchangeCase c{.ranks = 5,
                         .experts = 8,
                         .routed = Routed::kAnyNumber,
                         .placed = placed,
                         .ranks_per_node = 2};
    const Placement placement = placement_of(c);
    const auto first = results_of(c, placement);
    for (int again = 0; again < 5; ++again) expect_same_bits(results_of(c, placement), first);
  }
}

TEST(TwoHops, RoundsTheSumOfANodeOnce) {
  const auto sum = [](std::vector<int> node_of_rank, std::array<double, 4> partial) {
    double y = 0;
    Placement placement;
    placement.layers.resize(1);
    for (int rank = 0; rank < 4; ++rank) placement.layers[0].slices.push_back({rank, rank, 0, 1});
    run_ranks(4, [&](Communicator& group) {
      Routing routing;
      routing.offset = {0};
      if (group.rank() == 0) {
        routing.expert = {0, 1, 2, 3};
        routing.gate = {0.25, 0.25, 0.25, 0.25};
        routing.offset.push_back(4);
      }
      const auto dispatcher =
          make_all_to_all_token_dispatcher(group, placement, RankNodes(node_of_rank));
      const at::Tensor x =
          at::empty({routing.tokens(), 1}, at::TensorOptions(at::kBFloat16)).fill_(1.0);
      const auto exchange = dispatcher->start_dispatch(0, x, routing);
      exchange->start_combine(exchange->finish_dispatch().x.mul(partial[group.rank()]));
      const at::Tensor out = exchange->finish_combine();
      if (group.rank() == 0) y = out.item<double>();
    });
    return y;
  };
  // Of bf16 1 + 2^-8 is a tie that goes to the even 1, and 1 + 2^-7 is kept. Where the other node's
  // part is 1 + 2^-8, it is rounded before 2^-8 of this node is added.
  constexpr double kHalfStep = 1.0 / 256;
  EXPECT_EQ(sum({0, 0, 0, 0}, {kHalfStep, 0, 1, kHalfStep}), 1 + 2 * kHalfStep);
  EXPECT_EQ(sum({0, 0, 1, 1}, {kHalfStep, 0, 1, kHalfStep}), 1);
  EXPECT_EQ(sum({0, 1, 0, 1}, {kHalfStep, 0, 1, kHalfStep}), 1 + 2 * kHalfStep);
}

}  // namespace
}  // namespace hetmoe::exchange_test
