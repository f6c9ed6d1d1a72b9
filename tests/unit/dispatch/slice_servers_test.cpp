#include "parallel/dispatch/slice_servers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace hetmoe {
namespace {

Routing routing_of(const std::vector<std::vector<std::int32_t>>& experts_of_token) {
  Routing routing;
  routing.offset.push_back(0);
  for (const auto& experts : experts_of_token) {
    routing.expert.insert(routing.expert.end(), experts.begin(), experts.end());
    routing.gate.resize(routing.expert.size(), 0.5);
    routing.offset.push_back(routing.selections());
  }
  return routing;
}

/// Expert 0 has replicas on ranks 0 and 2, expert 1 lies on rank 2, expert 2 is cut over 0 and 1.
LayerPlacement placement(double share_on_rank_0) {
  return {{{0, 0, 0, 8, share_on_rank_0},
           {0, 2, 0, 8, 1 - share_on_rank_0},
           {1, 2, 0, 6},
           {2, 0, 0, 4},
           {2, 1, 4, 9}}};
}

TEST(SliceServers, NameRankAndIndexOfEveryRun) {
  const LayerServers servers = servers_of(placement(0.5), 3);
  EXPECT_TRUE(servers.has_replicas);
  ASSERT_EQ(servers.of_expert.size(), 3U);
  ASSERT_EQ(servers.of_expert[0].size(), 1U);
  ASSERT_EQ(servers.of_expert[0][0].size(), 2U);
  EXPECT_EQ(servers.of_expert[0][0][1].rank, 2);
  EXPECT_EQ(servers.of_expert[1][0][0].slice, 1);  // beside the replica on rank 2
  ASSERT_EQ(servers.of_expert[2].size(), 2U);
  EXPECT_EQ(servers.of_expert[2][0][0].slice, 1);  // beside the replica on rank 0
  EXPECT_EQ(servers.of_expert[2][1][0].rank, 1);
  EXPECT_FALSE(servers_of({{{0, 0, 0, 4}, {0, 0, 4, 9}, {1, 1, 0, 3}}}, 2).has_replicas);
}

TEST(ReplicaChoice, GivesEveryReplicaItsShare) {
  std::mt19937 random(3);
  for (const int tokens : {0, 1, 2, 7, 100}) {
    for (const double share : {0.01, 0.1, 0.5, 0.77, 0.99}) {
      std::vector<std::vector<std::int32_t>> experts(static_cast<std::size_t>(tokens));
      for (auto& list : experts) {
        list = {0};
        if (random() % 3 == 0) list.push_back(1);
        if (random() % 3 == 0) list.push_back(2);
      }
      const Routing routing = routing_of(experts);
      const LayerServers servers = servers_of(placement(share), 3);
      const ReplicaChoice choice(routing, servers);
      double on_rank_0 = 0;
      for (std::int64_t s = 0; s < routing.selections(); ++s) {
        if (routing.expert[s] == 0 && choice.server(s, 0, 0).rank == 0) ++on_rank_0;
      }
      EXPECT_LE(std::abs(on_rank_0 - share * tokens), 0.5 + 1e-9) << tokens << " tokens, " << share;
    }
  }
}

TEST(ReplicaChoice, PrefersTheRankToWhichATokenGoesAnyhow) {
  // Tokens 1 and 3 go to rank 2 for expert 1; half of the tokens are rank 2's.
  const Routing routing = routing_of({{0}, {0, 1}, {0}, {0, 1}});
  const LayerServers servers = servers_of(placement(0.5), 3);
  const ReplicaChoice choice(routing, servers);
  EXPECT_EQ(choice.server(0, 0, 0).rank, 0);
  EXPECT_EQ(choice.server(1, 0, 0).rank, 2);
  EXPECT_EQ(choice.server(3, 0, 0).rank, 0);
  EXPECT_EQ(choice.server(4, 0, 0).rank, 2);
}

TEST(ReplicaChoice, PrefersItsOwnNodeAndOneToWhichATokenGoesAnyhow) {
  // Expert 0 has replicas on ranks 1 and 2, expert 1 lies on rank 3; tokens 0 and 2 want both.
  const Routing routing = routing_of({{0, 1}, {0}, {0, 1}, {0}});
  const RankNodes nodes = nodes_of_neighbours(2, 0, 6);
  const auto served = [&](double share_on_rank_1, const RankNodes& known, int source) {
    const LayerServers servers = servers_of(
        {{{0, 1, 0, 8, share_on_rank_1}, {0, 2, 0, 8, 1 - share_on_rank_1}, {1, 3, 0, 6}}}, 6);
    const ReplicaChoice choice(routing, servers, known, source);
    std::vector<int> ranks;
    for (const std::int64_t s : {0, 2, 3, 5}) ranks.push_back(choice.server(s, 0, 0).rank);
    return ranks;
  };
  EXPECT_EQ(served(0.5, {}, 4), (std::vector{1, 1, 2, 2}));
  EXPECT_EQ(served(0.5, nodes, 4), (std::vector{2, 1, 2, 1})) << "as the node of rank 3";
  EXPECT_EQ(served(0.25, {}, 3), (std::vector{1, 2, 2, 2}));
  EXPECT_EQ(served(0.25, nodes, 3), (std::vector{2, 2, 2, 1})) << "as the tokens' own node";
}

}  // namespace
}  // namespace hetmoe
