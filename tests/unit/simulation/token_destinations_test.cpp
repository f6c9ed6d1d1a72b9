#include "parallel/simulation/token_destinations.h"

#include <gmock/gmock.h>

#include "core/base/error.h"

namespace hetmoe {
namespace {

using ::testing::DoubleEq;
using ::testing::ElementsAre;

/// Half of the tokens take experts 0 and 1, a quarter 0 and 2, a quarter 1 and 2.
RoutedTokens three_experts() {
  return {.top_k = 2,
          .selected = {0.75, 0.75, 0.5},
          .experts = {0, 1, 0, 2, 1, 2},
          .part = {0.5, 0.25, 0.25}};
}

TEST(TokenDestinations, ARowGoesOnceToARankThatHoldsTwoOfItsExperts) {
  const LayerPlacement placement{{{0, 0, 0, 8}, {1, 0, 0, 4}, {1, 1, 4, 8}, {2, 1, 0, 8}}};
  const TokenDestinations sent =
      destinations_of(three_experts(), placement, nodes_of_neighbours(1, 0, 3));
  // Rank 0 holds experts 0 and 1: all tokens. Rank 1 holds 1 and 2: all too. Rank 2: nothing.
  EXPECT_THAT(sent.rows, ElementsAre(DoubleEq(1), DoubleEq(1), 0));
  EXPECT_THAT(sent.selections, ElementsAre(DoubleEq(1.5), DoubleEq(1.25), 0));
}

TEST(TokenDestinations, ACutExpertSendsItsTokensToAllItsRanks) {
  const LayerPlacement placement{{{0, 0, 0, 8}, {1, 1, 0, 8}, {2, 0, 0, 3}, {2, 2, 3, 8}}};
  const TokenDestinations sent =
      destinations_of(three_experts(), placement, nodes_of_neighbours(1, 0, 3));
  EXPECT_THAT(sent.rows, ElementsAre(DoubleEq(1), DoubleEq(0.75), DoubleEq(0.5)));
  EXPECT_THAT(sent.selections, ElementsAre(DoubleEq(1.25), DoubleEq(0.75), DoubleEq(0.5)));
}

TEST(TokenDestinations, ARowCrossesOnceToANodeHoweverManyOfItsRanksNeedIt) {
  const LayerPlacement placement{{{0, 0, 0, 8}, {1, 1, 0, 8}, {2, 0, 0, 3}, {2, 2, 3, 8}}};
  const auto node_rows = [&](int first) {
    return destinations_of(three_experts(), placement, nodes_of_neighbours(2, first, 3)).node_rows;
  };
  EXPECT_THAT(node_rows(0), ElementsAre(DoubleEq(1), DoubleEq(0.5)));  // {0, 1} and {2}
  // {0} and {1, 2}: rank 1 needs three quarters and rank 2 a half, together all.
  EXPECT_THAT(node_rows(1), ElementsAre(DoubleEq(1), DoubleEq(1)));
}

TEST(TokenDestinations, TwoPiecesOfAnExpertOnOneRankAreOneSelection) {
  const LayerPlacement placement{
      {{0, 0, 0, 4}, {0, 0, 6, 8}, {0, 1, 4, 6}, {1, 1, 0, 8}, {2, 1, 0, 8}}};
  const TokenDestinations sent =
      destinations_of(three_experts(), placement, nodes_of_neighbours(1, 0, 2));
  EXPECT_THAT(sent.rows, ElementsAre(DoubleEq(0.75), DoubleEq(1)));
  EXPECT_THAT(sent.selections, ElementsAre(DoubleEq(0.75), DoubleEq(2)));
}

TEST(TokenDestinations, ReplicasAreABrokenInvariant) {
  const LayerPlacement placement{{{0, 0, 0, 8, 0.5}, {0, 1, 0, 8, 0.5}}};
  EXPECT_THROW(destinations_of(three_experts(), placement, nodes_of_neighbours(1, 0, 2)),
               InternalError);
}

}  // namespace
}  // namespace hetmoe
