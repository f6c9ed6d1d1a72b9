#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "core/model/local_token_dispatcher.h"
#include "parallel/communicator/local_communicator.h"
#include "tests/support/gradient_check.h"
#include "tests/unit/dispatch/exchange_case.h"

namespace hetmoe::exchange_test {
namespace {

/// Part of an expert that lies on a rank.
double part_on_rank(const Placement& placement, int expert, int rank) {
  double part = 0;
  for (const Slice& slice : slices_on_rank(placement, expert, rank)) {
    part += static_cast<double>(slice.width()) / kWidth;
  }
  return part;
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
}  // namespace hetmoe::exchange_test
