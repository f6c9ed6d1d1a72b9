#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <ostream>
#include <random>
#include <string>

#include "core/model/local_token_dispatcher.h"
#include "parallel/communicator/local_communicator.h"
#include "parallel/dispatch/all_to_all_token_dispatcher.h"
#include "parallel/placement/held_slices.h"
#include "tests/support/gradient_check.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kHidden = 5;
constexpr std::int64_t kWidth = 6;  // of every expert

/// How a case routes and places.
enum class Routed { kRandom, kAnyNumber, kAllToOne, kNothing };
enum class Placed { kWhole, kCut, kOnOneRank, kReplicated };

struct ExchangeCase {
  int ranks = 1;
  int experts = 4;
  Routed routed = Routed::kRandom;
  Placed placed = Placed::kWhole;
  int ranks_per_node = 0;  ///< 0: nodes are not known

  bool in_two_hops() const { return ranks_per_node > 1 && ranks_per_node < ranks; }
  int node_of(int rank) const { return ranks_per_node == 0 ? 0 : rank / ranks_per_node; }
  std::vector<int> ranks_of_node(int node) const {
    std::vector<int> there;
    for (int rank = 0; rank < ranks; ++rank) {
      if (node_of(rank) == node) there.push_back(rank);
    }
    return there;
  }
  /// The rank on `node` with the number that `rank` has on its own, counted round.
  int relay(int rank, int node) const {
    const std::vector<int> there = ranks_of_node(node);
    return there[static_cast<std::size_t>(rank % ranks_per_node) % there.size()];
  }
};

void PrintTo(const ExchangeCase& c, std::ostream* out) {
  *out << c.ranks << " ranks, " << c.experts << " experts, routed " << static_cast<int>(c.routed)
       << ", placed " << static_cast<int>(c.placed) << ", " << c.ranks_per_node
       << " ranks per node";
}

std::unique_ptr<PlacedTokenDispatcher> dispatcher_of(const ExchangeCase& c, Communicator& group,
                                                     const Placement& placement) {
  const RankNodes nodes =
      c.ranks_per_node == 0 ? RankNodes() : nodes_of_neighbours(c.ranks_per_node, 0, c.ranks);
  EXPECT_EQ(nodes.has_two_levels(), c.in_two_hops());
  return make_all_to_all_token_dispatcher(group, placement, nodes);
}

Placement placement_of(const ExchangeCase& c) {
  Placement placement;
  placement.layers.resize(1);
  for (int e = 0; e < c.experts; ++e) {
    const int rank = c.placed == Placed::kOnOneRank ? c.ranks / 2 : e % c.ranks;
    if (c.placed == Placed::kCut && e % 2 == 0) {
      placement.layers[0].slices.push_back({e, rank, 0, 2});
      placement.layers[0].slices.push_back({e, (rank + 1) % c.ranks, 2, 3});
      placement.layers[0].slices.push_back({e, (rank + 2) % c.ranks, 3, kWidth});
    } else if (c.placed == Placed::kReplicated && e % 2 == 0 && c.ranks > 1) {
      const int other = (rank + 1) % c.ranks;
      // Rows 0 to 2 stand alone, beside a replica of the others.
      placement.layers[0].slices.push_back({e, rank, 0, 2});
      placement.layers[0].slices.push_back({e, std::min(rank, other), 2, kWidth, 0.25});
      placement.layers[0].slices.push_back({e, std::max(rank, other), 2, kWidth, 0.75});
    } else {
      placement.layers[0].slices.push_back({e, rank, 0, kWidth});
    }
  }
  return placement;
}

/// The runs of rows of an expert that lie on a rank.
std::vector<Slice> slices_on_rank(const Placement& placement, int expert, int rank) {
  std::vector<Slice> slices;
  for (const HeldSlice& held : held_slices(placement.layers[0], 0, rank)) {
    if (held.slice.expert == expert) slices.push_back(held.slice);
  }
  return slices;
}

/// Part of an expert that lies on a rank.
double part_on_rank(const Placement& placement, int expert, int rank) {
  double part = 0;
  for (const Slice& slice : slices_on_rank(placement, expert, rank)) {
    part += static_cast<double>(slice.width()) / kWidth;
  }
  return part;
}

/// What `rank` routes: two experts a token whose gates sum to 1, one, or any number of them; as
/// many tokens as 3 + 2 * rank, but rank 1 has none.
Routing routing_of(const ExchangeCase& c, int rank) {
  std::mt19937 random(static_cast<unsigned>(100 * c.experts + rank));
  Routing routing;
  routing.offset.push_back(0);
  const int tokens = rank == 1 || c.routed == Routed::kNothing ? 0 : 3 + 2 * rank;
  for (int t = 0; t < tokens; ++t) {
    if (c.routed == Routed::kAllToOne) {
      routing.expert.push_back(c.experts - 1);
      routing.gate.push_back(1.0);
    } else if (c.routed == Routed::kAnyNumber) {
      const auto last = static_cast<int>(random() % c.experts);
      for (int e = 0; e <= last; ++e) {
        if (e < last && random() % 2 == 0) continue;
        routing.expert.push_back(e);
        routing.gate.push_back(static_cast<double>(1 + random() % 15) / 16);
      }
    } else {
      const auto first = static_cast<int>(random() % (c.experts - 1));
      const auto second = first + 1 + static_cast<int>(random() % (c.experts - 1 - first));
      const double gate = static_cast<double>(1 + random() % 15) / 16;
      routing.expert.insert(routing.expert.end(), {first, second});
      routing.gate.insert(routing.gate.end(), {gate, 1 - gate});
    }
    routing.offset.push_back(routing.selections());
  }
  return routing;
}

at::Tensor rank_values(const char* name, int rank, std::int64_t rows) {
  const std::string text = std::string(name) + std::to_string(rank);
  return test_values(text.c_str(), {rows, kHidden});
}

/// The linear map that stands for the experts of a rank.
at::Tensor map_of_rank(int rank) { return rank_values("map", rank, kHidden); }

/// Sum over the received selections of each row of gate * part of the expert here.
at::Tensor row_weights(const ReceivedTokens& received, const Placement& placement, int rank) {
  at::Tensor weights = at::zeros({received.x.size(0), 1}, at::TensorOptions(at::kDouble));
  auto* out = weights.mutable_data_ptr<double>();
  const std::vector<HeldSlice> held = held_slices(placement.layers[0], 0, rank);
  for (std::size_t s = 0; s < received.row.size(); ++s) {
    out[received.row[s]] +=
        received.gate[s] * static_cast<double>(held.at(received.slice[s]).slice.width()) / kWidth;
  }
  return weights;
}

/// The same per token of the sender, for one destination.
at::Tensor token_weights(const Routing& routing, const Placement& placement, int destination) {
  at::Tensor weights = at::zeros({routing.tokens(), 1}, at::TensorOptions(at::kDouble));
  auto* out = weights.mutable_data_ptr<double>();
  for (std::int64_t t = 0; t < routing.tokens(); ++t) {
    for (std::int64_t s = routing.offset[t]; s < routing.offset[t + 1]; ++s) {
      out[t] += routing.gate[s] * part_on_rank(placement, routing.expert[s], destination);
    }
  }
  return weights;
}

/// Of every token, [T, 1].
at::Tensor gate_sums(const Routing& routing) {
  at::Tensor sums = at::zeros({routing.tokens(), 1}, at::TensorOptions(at::kDouble));
  auto* out = sums.mutable_data_ptr<double>();
  for (std::int64_t t = 0; t < routing.tokens(); ++t) {
    for (std::int64_t s = routing.offset[t]; s < routing.offset[t + 1]; ++s) {
      out[t] += routing.gate[s];
    }
  }
  return sums;
}

/// A gate gradient that tells the rank, the expert and the token apart.
double gate_gradient(int rank, std::int32_t expert, double first_feature) {
  return (rank + 1) * 100 + expert + first_feature;
}

/// Runs an exchange forward with `forward_map` on this rank's rows, and backward with its
/// transpose.
struct ExchangeResult {
  at::Tensor y;
  TokenExchange::Gradient gradient;
};

ExchangeResult run_exchange(TokenDispatcher& dispatcher, const Placement& placement, int rank,
                            const Routing& routing, const at::Tensor& x, const at::Tensor& dy,
                            const at::Tensor& forward_map) {
  ExchangeResult result;
  const auto exchange = dispatcher.start_dispatch(0, x, routing);
  const ReceivedTokens& received = exchange->finish_dispatch();
  const at::Tensor weights = row_weights(received, placement, rank);
  exchange->start_combine(at::mm(received.x.mul(weights), forward_map));
  result.y = exchange->finish_combine();
  std::vector<double> dgates;
  for (std::size_t s = 0; s < received.row.size(); ++s) {
    const Slice slice = held_slices(placement.layers[0], 0, rank).at(received.slice[s]).slice;
    dgates.push_back(
        gate_gradient(rank, slice.expert, received.x[received.row[s]][0].item<double>()));
  }
  exchange->start_dispatch_gradient(dy);
  const at::Tensor dy_received = exchange->finish_dispatch_gradient();
  exchange->start_combine_gradient(at::mm(dy_received.mul(weights), forward_map.t()), dgates);
  result.gradient = exchange->finish_combine_gradient();
  return result;
}

class TokenExchangeCases : public testing::TestWithParam<ExchangeCase> {};

TEST_P(TokenExchangeCases, ExpertsThatCopyGiveTheTokensBack) {
  const ExchangeCase c = GetParam();
  const Placement placement = placement_of(c);
  run_ranks(c.ranks, [&](Communicator& group) {
    const auto dispatcher = dispatcher_of(c, group, placement);
    const Routing routing = routing_of(c, group.rank());
    const at::Tensor x = rank_values("x", group.rank(), routing.tokens());
    at::Tensor identity = at::zeros({kHidden, kHidden}, x.options());
    identity.fill_diagonal_(1);
    const auto result =
        run_exchange(*dispatcher, placement, group.rank(), routing, x, x.mul(2), identity);
    const at::Tensor weighted = x.mul(gate_sums(routing));
    ASSERT_EQ(result.y.sizes(), x.sizes());
    EXPECT_LT(relative_difference(result.y, weighted), 1e-14);
    EXPECT_LT(relative_difference(result.gradient.dx, weighted.mul(2)), 1e-14);
  });
}

TEST_P(TokenExchangeCases, MatchesTheSumOverRanksWrittenOut) {
  const ExchangeCase c = GetParam();
  if (c.placed == Placed::kReplicated) GTEST_SKIP() << "who serves is for slice_servers_test";
  const Placement placement = placement_of(c);
  run_ranks(c.ranks, [&](Communicator& group) {
    const int rank = group.rank();
    const auto dispatcher = dispatcher_of(c, group, placement);
    const Routing routing = routing_of(c, rank);
    const at::Tensor x = rank_values("x", rank, routing.tokens());
    const at::Tensor dy = rank_values("dy", rank, routing.tokens());
    const auto result =
        run_exchange(*dispatcher, placement, rank, routing, x, dy, map_of_rank(rank));
    at::Tensor y = at::zeros_like(x);
    at::Tensor dx = at::zeros_like(x);
    std::vector<double> dgates(routing.expert.size(), 0.0);
    for (int there = 0; there < c.ranks; ++there) {
      const at::Tensor weights = token_weights(routing, placement, there);
      y.add_(at::mm(x.mul(weights), map_of_rank(there)));
      dx.add_(at::mm(dy.mul(weights), map_of_rank(there).t()));
      for (std::int64_t t = 0; t < routing.tokens(); ++t) {
        for (std::int64_t s = routing.offset[t]; s < routing.offset[t + 1]; ++s) {
          for (std::size_t i = slices_on_rank(placement, routing.expert[s], there).size(); i > 0;
               --i) {
            dgates[s] += gate_gradient(there, routing.expert[s], x[t][0].item<double>());
          }
        }
      }
    }
    EXPECT_LT(relative_difference(result.y, y), 1e-14);
    EXPECT_LT(relative_difference(result.gradient.dx, dx), 1e-14);
    ASSERT_EQ(result.gradient.dgates.size(), dgates.size());
    for (std::size_t s = 0; s < dgates.size(); ++s) {
      EXPECT_NEAR(result.gradient.dgates[s], dgates[s], 1e-9) << s;
    }
  });
}

TEST_P(TokenExchangeCases, BackwardIsTheAdjointOfForward) {
  const ExchangeCase c = GetParam();
  const Placement placement = placement_of(c);
  run_ranks(c.ranks, [&](Communicator& group) {
    const int rank = group.rank();
    const auto dispatcher = dispatcher_of(c, group, placement);
    const Routing routing = routing_of(c, rank);
    const at::Tensor x = rank_values("u", rank, routing.tokens());
    const at::Tensor dy = rank_values("v", rank, routing.tokens());
    const auto result =
        run_exchange(*dispatcher, placement, rank, routing, x, dy, map_of_rank(rank));
    std::array<double, 2> products = {inner_product(result.y, dy),
                                      inner_product(x, result.gradient.dx)};
    group.all_reduce(buffer_of(std::span<double>(products)), Reduction::kSum).wait();
    EXPECT_NEAR(products[0], products[1], 1e-11);
  });
}

/// Rows and selections that concern slices on some ranks.
struct Sent {
  std::int64_t rows = 0;
  std::int64_t selections = 0;

  std::int64_t dispatch_bytes() const {  // gradients of the results, too
    return 16 * selections + 2 * rows * kHidden * 8;
  }
  std::int64_t combine_bytes() const { return 8 * selections + 2 * rows * kHidden * 8; }
};

std::int64_t slices_there(const Routing& routing, const Placement& placement, std::int64_t token,
                          const std::vector<int>& there) {
  std::int64_t count = 0;
  for (std::int64_t s = routing.offset[token]; s < routing.offset[token + 1]; ++s) {
    for (const int rank : there) {
      count += static_cast<std::int64_t>(slices_on_rank(placement, routing.expert[s], rank).size());
    }
  }
  return count;
}

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

TEST_P(TokenExchangeCases, SendsTheBytesThatTheHeaderSays) {
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

/// Numbers that tell rank and token apart, in every row.
at::Tensor numbered_tokens(int rank, std::int64_t tokens) {
  at::Tensor x = rank_values("x", rank, tokens);
  for (std::int64_t t = 0; t < tokens; ++t) x[t][0] = 1000.0 * rank + static_cast<double>(t);
  return x;
}

TEST_P(TokenExchangeCases, RowsArriveOnceByWhoSentThemLastAndThenBySourceAndToken) {
  const ExchangeCase c = GetParam();
  if (c.placed == Placed::kReplicated) GTEST_SKIP() << "who serves is for slice_servers_test";
  const Placement placement = placement_of(c);
  run_ranks(c.ranks, [&](Communicator& group) {
    const int rank = group.rank();
    const auto dispatcher = dispatcher_of(c, group, placement);
    const Routing routing = routing_of(c, rank);
    const auto exchange =
        dispatcher->start_dispatch(0, numbered_tokens(rank, routing.tokens()), routing);
    const ReceivedTokens& received = exchange->finish_dispatch();
    std::vector<std::array<int, 3>> sources;  // whether handed on, by whom, from whom
    for (int source = 0; source < c.ranks; ++source) {
      const bool is_far = c.in_two_hops() && c.node_of(source) != c.node_of(rank);
      sources.push_back({is_far, is_far ? c.relay(source, c.node_of(rank)) : source, source});
    }
    std::sort(sources.begin(), sources.end());
    std::vector<double> expected;
    for (const auto& [is_far, from, source] : sources) {
      const Routing theirs = routing_of(c, source);
      for (std::int64_t t = 0; t < theirs.tokens(); ++t) {
        if (slices_there(theirs, placement, t, {rank}) == 0) continue;
        expected.push_back(1000.0 * source + static_cast<double>(t));
      }
    }
    std::vector<double> rows;
    for (std::int64_t row = 0; row < received.x.size(0); ++row) {
      rows.push_back(received.x[row][0].item<double>());
    }
    EXPECT_EQ(rows, expected);
    EXPECT_TRUE(std::is_sorted(received.row.begin(), received.row.end()));
    exchange->start_combine(received.x);
    exchange->finish_combine();
  });
}

std::vector<ExchangeCase> cases_of(int ranks, int ranks_per_node) {
  std::vector<ExchangeCase> cases;
  for (const int experts : {4, 8}) {
    for (const Routed routed :
         {Routed::kRandom, Routed::kAnyNumber, Routed::kAllToOne, Routed::kNothing}) {
      for (const Placed placed :
           {Placed::kWhole, Placed::kCut, Placed::kOnOneRank, Placed::kReplicated}) {
        cases.push_back({ranks, experts, routed, placed, ranks_per_node});
      }
    }
  }
  return cases;
}

std::vector<ExchangeCase> all_cases() {
  std::vector<ExchangeCase> cases;
  // Nodes not known; of two and of three ranks; the last one smaller; one rank each; all in one.
  for (const auto& [ranks, ranks_per_node] : {std::array{1, 0},
                                              {2, 0},
                                              {3, 0},
                                              {5, 0},
                                              {4, 2},
                                              {6, 3},
                                              {3, 2},
                                              {5, 2},
                                              {5, 3},
                                              {3, 1},
                                              {3, 3},
                                              {2, 4}}) {
    const auto more = cases_of(ranks, ranks_per_node);
    cases.insert(cases.end(), more.begin(), more.end());
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Cases, TokenExchangeCases, testing::ValuesIn(all_cases()));

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

TEST(TokenExchange, OfOneNodeOrOfNodesOfOneRankHasTheBitsOfOneHop) {
  ExchangeCase c{.ranks = 4, .experts = 8, .placed = Placed::kReplicated};
  const Placement placement = placement_of(c);
  const auto plain = results_of(c, placement);
  for (const int ranks_per_node : {1, 4, 7}) {
    c.ranks_per_node = ranks_per_node;
    expect_same_bits(results_of(c, placement), plain);
  }
}

TEST(TokenExchange, InTwoHopsRepeatsBitForBit) {
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

TEST(TokenExchange, InTwoHopsHalvesTheRowsAcrossWhereBothRanksOfTheNodeNeedThem) {
  const ExchangeCase c{.ranks = 4, .ranks_per_node = 2};
  Placement placement;  // every expert over all ranks
  placement.layers.resize(1);
  for (int e = 0; e < c.experts; ++e) {
    for (int rank = 0; rank < 4; ++rank) {
      placement.layers[0].slices.push_back({e, rank, rank, rank == 3 ? kWidth : rank + 1});
    }
  }
  std::int64_t tokens = 0;
  std::int64_t bytes = 0;
  std::int64_t bytes_of_selections = 0;
  for (int rank = 0; rank < 4; ++rank) {
    tokens += routing_of(c, rank).tokens();
    bytes_of_selections += routing_of(c, rank).selections() * 2 * (16 + 8);  // slices over there
    bytes += bytes_in_two_hops(c, placement, rank).other_node;
  }
  EXPECT_EQ(bytes, tokens * 4 * kHidden * 8 + bytes_of_selections);
}

TEST(TokenExchange, InTwoHopsRoundsTheSumOfANodeOnce) {
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

TEST(LocalTokenDispatcher, GivesTheBitsOfTheExchangeOfOneRank) {
  const ExchangeCase c{.ranks = 1, .experts = 8};
  const Placement placement = placement_of(c);
  run_ranks(1, [&](Communicator& group) {
    const Routing routing = routing_of(c, 0);
    const at::Tensor x = rank_values("x", 0, routing.tokens());
    const at::Tensor dy = rank_values("dy", 0, routing.tokens());
    const auto exchange = make_all_to_all_token_dispatcher(group, placement);
    const auto local = make_local_token_dispatcher(slices_of_rank(placement, 0));
    const auto a = run_exchange(*exchange, placement, 0, routing, x, dy, map_of_rank(0));
    const auto b = run_exchange(*local, placement, 0, routing, x, dy, map_of_rank(0));
    EXPECT_TRUE(a.y.equal(b.y));
    EXPECT_TRUE(a.gradient.dx.equal(b.gradient.dx));
    EXPECT_EQ(a.gradient.dgates, b.gradient.dgates);
  });
}

}  // namespace
}  // namespace hetmoe
