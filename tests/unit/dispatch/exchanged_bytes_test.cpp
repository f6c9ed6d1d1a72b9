#include <gtest/gtest.h>

#include <array>
#include <numeric>

#include "parallel/communicator/local_communicator.h"
#include "tests/unit/dispatch/exchange_case.h"

namespace hetmoe::exchange_test {
namespace {

/// Rows and selections that concern slices on some ranks.
struct Sent {
  std::int64_t rows = 0;
  std::int64_t selections = 0;

  std::int64_t dispatch_bytes() const {  // gradients of the results, too
    return 16 * selections + 2 * rows * kHidden * 8;
  }
  std::int64_t combine_bytes() const { return 8 * selections + 2 * rows * kHidden * 8; }
};

/// Each row once, whichever of the ranks it concerns.
Sent sent_between(const ExchangeCase& c, const Placement& placement, int from,
                  const std::vector<int>& to) {
  Sent sent;
  const Routing routing = routing_of(c, from);
  for (std::int64_t t = 0; t < routing.tokens(); ++t) {
    const std::int64_t slices = slices_there(routing, placement, t, to);
    sent.selections += slices;
    sent.rows += slices > 0 ? 1 : 0;
  }
  return sent;
}

/// What `rank` sends in one forward and backward pass.
ExchangedBytes bytes_in_one_hop(const ExchangeCase& c, const Placement& placement, int rank) {
  ExchangedBytes bytes;
  for (int peer = 0; peer < c.ranks; ++peer) {
    if (peer == rank) continue;
    const std::int64_t out = sent_between(c, placement, rank, {peer}).dispatch_bytes();
    const std::int64_t back = sent_between(c, placement, peer, {rank}).combine_bytes();
    bytes.dispatch += out;
    bytes.combine += back;
    if (c.node_of(peer) != c.node_of(rank)) bytes.other_node += out + back;
  }
  return bytes;
}

ExchangedBytes bytes_in_two_hops(const ExchangeCase& c, const Placement& placement, int rank) {
  ExchangedBytes bytes;
  const int node = c.node_of(rank);
  const std::vector<int> here = c.ranks_of_node(node);
  for (int source = 0; source < c.ranks; ++source) {
    const bool is_near = c.node_of(source) == node;
    // The rank from which the source's rows come to those of this node, and to which they return.
    const int from = is_near ? source : c.relay(source, node);
    if (rank != from) bytes.combine += sent_between(c, placement, source, {rank}).combine_bytes();
    if (rank != from) continue;
    for (const int peer : here) {
      if (peer == rank) continue;
      bytes.dispatch += sent_between(c, placement, source, {peer}).dispatch_bytes();
    }
    if (is_near) continue;
    const std::int64_t back = sent_between(c, placement, source, here).combine_bytes();
    bytes.combine += back;
    bytes.other_node += back;
  }
  for (int other = 0; other <= c.node_of(c.ranks - 1); ++other) {
    if (other == node) continue;
    const std::int64_t out =
        sent_between(c, placement, rank, c.ranks_of_node(other)).dispatch_bytes();
    bytes.dispatch += out;
    bytes.other_node += out;
  }
  return bytes;
}

class ExchangedBytesCases : public testing::TestWithParam<ExchangeCase> {};

TEST_P(ExchangedBytesCases, SendsTheBytesThatTheHeaderSays) {
  const ExchangeCase c = GetParam();
  if (c.placed == Placed::kReplicated) GTEST_SKIP() << "who serves is for slice_servers_test";
  const Placement placement = placement_of(c);
  run_ranks(c.ranks, [&](Communicator& group) {
    const int rank = group.rank();
    const auto dispatcher = dispatcher_of(c, group, placement);
    const Routing routing = routing_of(c, rank);
    const at::Tensor x = rank_values("x", rank, routing.tokens());
    run_exchange(*dispatcher, placement, rank, routing, x, x, map_of_rank(rank));
    const ExchangedBytes expected = c.in_two_hops() ? bytes_in_two_hops(c, placement, rank)
                                                    : bytes_in_one_hop(c, placement, rank);
    EXPECT_EQ(dispatcher->bytes_sent().dispatch, expected.dispatch) << "rank " << rank;
    EXPECT_EQ(dispatcher->bytes_sent().combine, expected.combine) << "rank " << rank;
    EXPECT_EQ(dispatcher->bytes_sent().other_node, expected.other_node) << "rank " << rank;
  });
}

INSTANTIATE_TEST_SUITE_P(Cases, ExchangedBytesCases, testing::ValuesIn(all_cases()));

TEST(ExchangedBytes, OfTwoHopsHalveTheRowsAcrossWhereBothRanksOfTheNodeNeedThem) {
  const ExchangeCase c{.ranks = 4, .ranks_per_node = 2};
  Placement placement;  // every expert over all ranks
  placement.layers.resize(1);
  for (int e = 0; e < c.experts; ++e) {
    for (int rank = 0; rank < 4; ++rank) {
      placement.layers[0].slices.push_back({e, rank, rank, rank == 3 ? kWidth : rank + 1});
    }
  }
  std::int64_t tokens = 0;
  std::int64_t slices_there = 0;
  for (int rank = 0; rank < 4; ++rank) {
    tokens += routing_of(c, rank).tokens();
    slices_there += 2 * routing_of(c, rank).selections();
  }
  std::array<std::int64_t, 4> bytes = {};
  run_ranks(4, [&](Communicator& group) {
    const int rank = group.rank();
    const auto dispatcher = dispatcher_of(c, group, placement);
    const Routing routing = routing_of(c, rank);
    const at::Tensor x = rank_values("x", rank, routing.tokens());
    run_exchange(*dispatcher, placement, rank, routing, x, x, map_of_rank(rank));
    bytes[static_cast<std::size_t>(rank)] = dispatcher->bytes_sent().other_node;
  });
  // One row of fp64 a token: there, back, and both ways for gradients.
  EXPECT_EQ(std::reduce(bytes.begin(), bytes.end()),
            tokens * 4 * kHidden * 8 + slices_there * (16 + 8));
}

}  // namespace
}  // namespace hetmoe::exchange_test
