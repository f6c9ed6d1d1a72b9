#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
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
enum class Routed { kRandom, kAllToOne, kNothing };
enum class Placed { kWhole, kCut, kOnOneRank, kReplicated };

struct ExchangeCase {
  int ranks = 1;
  int experts = 4;
  Routed routed = Routed::kRandom;
  Placed placed = Placed::kWhole;
};

void PrintTo(const ExchangeCase& c, std::ostream* out) {
  *out << c.ranks << " ranks, " << c.experts << " experts, routed " << static_cast<int>(c.routed)
       << ", placed " << static_cast<int>(c.placed);
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

/// What `rank` routes: two experts a token whose gates sum to 1, as many tokens as 3 + rank, but
/// rank 1 has none.
Routing routing_of(const ExchangeCase& c, int rank) {
  std::mt19937 random(static_cast<unsigned>(100 * c.experts + rank));
  Routing routing;
  routing.offset.push_back(0);
  const int tokens = rank == 1 || c.routed == Routed::kNothing ? 0 : 3 + 2 * rank;
  for (int t = 0; t < tokens; ++t) {
    if (c.routed == Routed::kAllToOne) {
      routing.expert.push_back(c.experts - 1);
      routing.gate.push_back(1.0);
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
    const auto dispatcher = make_all_to_all_token_dispatcher(group, placement);
    const Routing routing = routing_of(c, group.rank());
    const at::Tensor x = rank_values("x", group.rank(), routing.tokens());
    at::Tensor identity = at::zeros({kHidden, kHidden}, x.options());
    identity.fill_diagonal_(1);
    const auto result =
        run_exchange(*dispatcher, placement, group.rank(), routing, x, x.mul(2), identity);
    ASSERT_EQ(result.y.sizes(), x.sizes());
    EXPECT_LT(relative_difference(result.y, x), 1e-14);
    EXPECT_LT(relative_difference(result.gradient.dx, x.mul(2)), 1e-14);
  });
}

TEST_P(TokenExchangeCases, MatchesTheSumOverRanksWrittenOut) {
  const ExchangeCase c = GetParam();
  if (c.placed == Placed::kReplicated) GTEST_SKIP() << "who serves is for slice_servers_test";
  const Placement placement = placement_of(c);
  run_ranks(c.ranks, [&](Communicator& group) {
    const int rank = group.rank();
    const auto dispatcher = make_all_to_all_token_dispatcher(group, placement);
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
    const auto dispatcher = make_all_to_all_token_dispatcher(group, placement);
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

/// Rows and selections that go from one rank to another.
struct Sent {
  std::int64_t rows = 0;
  std::int64_t selections = 0;
};

Sent sent_between(const ExchangeCase& c, const Placement& placement, int from, int to) {
  Sent sent;
  const Routing routing = routing_of(c, from);
  for (std::int64_t t = 0; t < routing.tokens(); ++t) {
    std::int64_t here = 0;
    for (std::int64_t s = routing.offset[t]; s < routing.offset[t + 1]; ++s) {
      here += static_cast<std::int64_t>(slices_on_rank(placement, routing.expert[s], to).size());
    }
    sent.selections += here;
    sent.rows += here > 0 ? 1 : 0;
  }
  return sent;
}

TEST_P(TokenExchangeCases, SendsTheBytesThatTheHeaderSays) {
  const ExchangeCase c = GetParam();
  if (c.placed == Placed::kReplicated) GTEST_SKIP() << "who serves is for slice_servers_test";
  const Placement placement = placement_of(c);
  run_ranks(c.ranks, [&](Communicator& group) {
    const int rank = group.rank();
    const auto dispatcher = make_all_to_all_token_dispatcher(group, placement);
    const Routing routing = routing_of(c, rank);
    const at::Tensor x = rank_values("x", rank, routing.tokens());
    run_exchange(*dispatcher, placement, rank, routing, x, x, map_of_rank(rank));
    const std::int64_t row_bytes = kHidden * 8;
    ExchangedBytes expected;
    for (int peer = 0; peer < c.ranks; ++peer) {
      if (peer == rank) continue;
      const Sent out = sent_between(c, placement, rank, peer);
      const Sent in = sent_between(c, placement, peer, rank);
      expected.dispatch += 16 * out.selections + out.rows * row_bytes;
      expected.combine += in.rows * row_bytes;
      expected.dispatch += out.rows * row_bytes;                    // gradient of combine
      expected.combine += in.rows * row_bytes + 8 * in.selections;  // gradient of dispatch
    }
    EXPECT_EQ(dispatcher->bytes_sent().dispatch, expected.dispatch) << "rank " << rank;
    EXPECT_EQ(dispatcher->bytes_sent().combine, expected.combine) << "rank " << rank;
  });
}

TEST_P(TokenExchangeCases, RowsArriveOnceBySourceRankAndThenByToken) {
  const ExchangeCase c = GetParam();
  const Placement placement = placement_of(c);
  run_ranks(c.ranks, [&](Communicator& group) {
    const auto dispatcher = make_all_to_all_token_dispatcher(group, placement);
    const Routing routing = routing_of(c, group.rank());
    at::Tensor x = rank_values("x", group.rank(), routing.tokens());
    for (std::int64_t t = 0; t < routing.tokens(); ++t) {
      x[t][0] = 1000.0 * group.rank() + static_cast<double>(t);
    }
    const auto exchange = dispatcher->start_dispatch(0, x, routing);
    const ReceivedTokens& received = exchange->finish_dispatch();
    for (std::int64_t row = 1; row < received.x.size(0); ++row) {
      EXPECT_LT(received.x[row - 1][0].item<double>(), received.x[row][0].item<double>());
    }
    EXPECT_TRUE(std::is_sorted(received.row.begin(), received.row.end()));
    exchange->start_combine(received.x);
    exchange->finish_combine();
  });
}

std::vector<ExchangeCase> all_cases() {
  std::vector<ExchangeCase> cases;
  for (const int ranks : {1, 2, 3, 5}) {
    for (const int experts : {4, 8}) {
      for (const Routed routed : {Routed::kRandom, Routed::kAllToOne, Routed::kNothing}) {
        for (const Placed placed :
             {Placed::kWhole, Placed::kCut, Placed::kOnOneRank, Placed::kReplicated}) {
          cases.push_back({ranks, experts, routed, placed});
        }
      }
    }
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Cases, TokenExchangeCases, testing::ValuesIn(all_cases()));

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
