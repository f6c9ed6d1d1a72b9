#include "parallel/dispatch/dispatch_pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace hetmoe {
namespace {

using testing::ElementsAre;

Routing routing_of(const std::vector<std::vector<std::int32_t>>& experts_of_token) {
  Routing routing;
  routing.offset.push_back(0);
  for (const auto& experts : experts_of_token) {
    for (const std::int32_t expert : experts) {
      routing.expert.push_back(expert);
      routing.gate.push_back(0.125 * static_cast<double>(routing.expert.size()));
    }
    routing.offset.push_back(routing.selections());
  }
  return routing;
}

/// Expert e has a run of rows on each of ranks_of_expert[e]; it is slice e there.
LayerServers servers_on(const std::vector<std::vector<std::int32_t>>& ranks_of_expert) {
  LayerServers servers;
  for (std::size_t e = 0; e < ranks_of_expert.size(); ++e) {
    auto& ranges = servers.of_expert.emplace_back();
    for (const std::int32_t rank : ranks_of_expert[e]) {
      ranges.push_back({{.rank = rank, .slice = static_cast<std::int32_t>(e)}});
    }
  }
  return servers;
}

TEST(DispatchPattern, ATokenGoesOncePerDestinationWithAllItsSelectionsThere) {
  // Expert 0 on rank 1; expert 1 cut over ranks 0 and 1; expert 2 on rank 2.
  const DispatchPattern pattern =
      make_dispatch_pattern(routing_of({{0, 1}, {2}, {1, 2}}), servers_on({{1}, {0, 1}, {2}}), 3);
  EXPECT_THAT(pattern.rows_to_rank, ElementsAre(2, 2, 2));
  EXPECT_THAT(pattern.selections_to_rank, ElementsAre(2, 3, 2));
  EXPECT_THAT(pattern.token, ElementsAre(0, 2, 0, 2, 1, 2));
  EXPECT_THAT(pattern.selection, ElementsAre(1, 3, 0, 1, 3, 2, 4));
  std::vector<int> rows;
  std::vector<int> experts;
  for (const SelectionOnWire& wire : pattern.wire) {
    rows.push_back(wire.row);
    experts.push_back(wire.slice);
  }
  EXPECT_THAT(rows, ElementsAre(0, 1, 0, 0, 1, 0, 1));
  EXPECT_THAT(experts, ElementsAre(1, 1, 0, 1, 1, 2, 2));
  EXPECT_EQ(pattern.wire[1].gate, 0.5);  // selection 3
}

TEST(DispatchPattern, OfNoTokensSendsNothing) {
  const DispatchPattern pattern = make_dispatch_pattern(routing_of({}), servers_on({{0}, {1}}), 2);
  EXPECT_THAT(pattern.rows_to_rank, ElementsAre(0, 0));
  EXPECT_THAT(pattern.selections_to_rank, ElementsAre(0, 0));
  EXPECT_TRUE(pattern.token.empty() && pattern.selection.empty() && pattern.wire.empty());
}

/// A random list of ascending numbers below `limit`, at least one.
std::vector<std::int32_t> random_subset(std::mt19937& random, int limit) {
  std::set<std::int32_t> chosen = {static_cast<std::int32_t>(random() % limit)};
  for (unsigned i = random() % 4; i > 0; --i) chosen.insert(static_cast<int>(random() % limit));
  return {chosen.begin(), chosen.end()};
}

/// Holds the lists against sets that state who must get what.
void expect_exact(const Routing& routing, const std::vector<std::vector<std::int32_t>>& ranks,
                  int num_ranks) {
  std::map<int, std::set<std::int64_t>> tokens_of_rank;
  std::map<int, std::set<std::int64_t>> selections_of_rank;
  std::vector<std::int64_t> token_of_selection;
  for (std::int64_t t = 0; t < routing.tokens(); ++t) {
    for (std::int64_t s = routing.offset[t]; s < routing.offset[t + 1]; ++s) {
      token_of_selection.push_back(t);
      for (const std::int32_t rank : ranks[routing.expert[s]]) {
        tokens_of_rank[rank].insert(t);
        selections_of_rank[rank].insert(s);
      }
    }
  }
  const DispatchPattern pattern = make_dispatch_pattern(routing, servers_on(ranks), num_ranks);
  auto token = pattern.token.begin();
  auto selection = pattern.selection.begin();
  auto wire = pattern.wire.begin();
  for (int rank = 0; rank < num_ranks; ++rank) {
    const std::vector<std::int64_t> tokens(token, token + pattern.rows_to_rank[rank]);
    ASSERT_THAT(tokens, testing::ElementsAreArray(tokens_of_rank[rank]));
    const auto count = pattern.selections_to_rank[rank];
    const std::vector<std::int64_t> selections(selection, selection + count);
    ASSERT_THAT(selections, testing::ElementsAreArray(selections_of_rank[rank]));
    for (const std::int64_t s : selections) {
      ASSERT_EQ(tokens.at(static_cast<std::size_t>(wire->row)), token_of_selection[s]);
      ASSERT_EQ(wire->slice, routing.expert[s]);
      ASSERT_EQ(wire->gate, routing.gate[s]);
      ++wire;
    }
    token += pattern.rows_to_rank[rank];
    selection += count;
  }
  EXPECT_EQ(token, pattern.token.end());
  EXPECT_EQ(selection, pattern.selection.end());
}

TEST(DispatchPattern, SendsEveryTokenAndSelectionExactlyWhereItIsNeeded) {
  std::mt19937 random(9);
  for (int instance = 0; instance < 300; ++instance) {
    const int num_ranks = 1 + static_cast<int>(random() % 6);
    const int experts = 1 + static_cast<int>(random() % 9);
    std::vector<std::vector<std::int32_t>> ranks;
    for (int e = 0; e < experts; ++e) ranks.push_back(random_subset(random, num_ranks));
    std::vector<std::vector<std::int32_t>> tokens;
    for (unsigned t = random() % 12; t > 0; --t) tokens.push_back(random_subset(random, experts));
    SCOPED_TRACE("instance " + std::to_string(instance));
    expect_exact(routing_of(tokens), ranks, num_ranks);
    if (testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace hetmoe
