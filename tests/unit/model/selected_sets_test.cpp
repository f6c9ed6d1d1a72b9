#include "core/model/selected_sets.h"

#include "core/model/hyper_parameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <numeric>
#include <set>

namespace hetmoe {
namespace {

using testing::DoubleEq;
using testing::ElementsAre;
using testing::Pointwise;
using List = std::vector<std::int32_t>;

Routing routing_of(const std::vector<List>& tokens) {
  Routing routing;
  routing.offset = {0};
  for (const List& experts : tokens) {
    routing.expert.insert(routing.expert.end(), experts.begin(), experts.end());
    routing.offset.push_back(static_cast<std::int64_t>(routing.expert.size()));
  }
  return routing;
}

List list_of(const ExpertSets& sets, std::int64_t set) {
  return {sets[set].begin(), sets[set].end()};
}

TEST(DistinctSets, AreTheListsThatOccurWithTheirTokensInOrder) {
  const SelectedSets selected =
      distinct_sets(routing_of({{1, 3}, {0}, {1, 3}, {1}, {0, 1, 2, 3}, {0}, {1, 3}}));
  ASSERT_EQ(selected.sets.size(), 4);
  EXPECT_EQ(list_of(selected.sets, 0), List({1, 3}));
  EXPECT_EQ(list_of(selected.sets, 1), List({0}));
  EXPECT_EQ(list_of(selected.sets, 2), List({1}));
  EXPECT_EQ(list_of(selected.sets, 3), List({0, 1, 2, 3}));
  EXPECT_THAT(selected.tokens.token, ElementsAre(0, 2, 6, 1, 5, 3, 4));
  EXPECT_THAT(selected.tokens.begin, ElementsAre(0, 3, 5, 6, 7));
}

TEST(DistinctSets, TellListsOfAThousandExpertsApart) {
  std::vector<List> tokens;
  for (int t = 0; t < 40; ++t) {
    List& experts = tokens.emplace_back(1023);
    std::iota(experts.begin(), experts.end(), 0);
    for (int i = t % 20; i < 1023; ++i) ++experts[i];  // all of 1024 but one
  }
  const SelectedSets selected = distinct_sets(routing_of(tokens));
  EXPECT_EQ(selected.sets.size(), 20);
  EXPECT_EQ(list_of(selected.sets, 19), tokens[39]);
}

TEST(DistinctSets, OfNoTokensAreNone) {
  const SelectedSets selected = distinct_sets(routing_of({}));
  EXPECT_EQ(selected.sets.size(), 0);
  EXPECT_EQ(selected.tokens.size(), 0);
}

TEST(AllSets, AreAllThereOnceEach) {
  for (const auto [experts, size, number] :
       {std::array{8, 1, 8}, {8, 2, 28}, {9, 4, 126}, {5, 5, 1}, {1, 1, 1}}) {
    const ExpertSets sets = all_sets(experts, size);
    EXPECT_EQ(number_of_sets(experts, size), number);
    ASSERT_EQ(sets.size(), number);
    std::set<List> seen;
    for (std::int64_t i = 0; i < sets.size(); ++i) {
      const List list = list_of(sets, i);
      EXPECT_TRUE(std::is_sorted(list.begin(), list.end()));
      EXPECT_LT(list.back(), experts);
      seen.insert(list);
    }
    EXPECT_EQ(static_cast<int>(seen.size()), number);
  }
}

TEST(AllSets, TokensStandInTheGroupOfTheirSet) {
  const ExpertSets sets = all_sets(6, 3);
  std::vector<List> tokens;
  for (const int set : {7, 0, 19, 7, 12}) tokens.push_back(list_of(sets, set));
  const TokenGroups groups = tokens_of_all_sets(routing_of(tokens), 6, 3);
  ASSERT_EQ(groups.size(), sets.size());
  for (std::int64_t set = 0; set < sets.size(); ++set) {
    for (std::int64_t i = groups.begin[set]; i < groups.begin[set + 1]; ++i) {
      EXPECT_EQ(tokens[groups.token[i]], list_of(sets, set));
    }
  }
  EXPECT_EQ(groups.begin.back(), 5);
  EXPECT_EQ(tokens_of_all_sets(routing_of({}), 6, 3).size(), 20);
}

TEST(NumberOfSets, StopsAtTheLargestInteger) {
  EXPECT_EQ(number_of_sets(64, 6), 74974368);
  EXPECT_EQ(number_of_sets(1024, 1), 1024);
  EXPECT_EQ(number_of_sets(1024, 1022), 523776);
  EXPECT_EQ(number_of_sets(1024, 512), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(number_of_sets(3, 4), 0);
}

std::vector<double> coefficients(const List& set, Conditioning conditioning, Aggregate aggregate) {
  ExpertSets sets;
  sets.expert = set;
  sets.offset.push_back(static_cast<std::int64_t>(set.size()));
  return embedding_coefficients(sets, 4, conditioning, aggregate);
}

TEST(EmbeddingCoefficients, AreThoseOfEveryConditioningAndAggregate) {
  const auto unselected = [](Aggregate aggregate) {
    return coefficients({1}, Conditioning::kUnselected, aggregate);
  };
  const auto selected = [](Aggregate aggregate) {
    return coefficients({1, 3}, Conditioning::kSelected, aggregate);
  };
  EXPECT_THAT(unselected(Aggregate::kSum), ElementsAre(1, 0, 1, 1));
  EXPECT_THAT(unselected(Aggregate::kMean),
              Pointwise(DoubleEq(), {1 / 3.0, 0.0, 1 / 3.0, 1 / 3.0}));
  EXPECT_THAT(unselected(Aggregate::kCentred), ElementsAre(0.25, -0.75, 0.25, 0.25));
  EXPECT_THAT(selected(Aggregate::kSum), ElementsAre(0, 1, 0, 1));
  EXPECT_THAT(selected(Aggregate::kMean), ElementsAre(0, 0.5, 0, 0.5));
  EXPECT_THAT(selected(Aggregate::kCentred), ElementsAre(-0.5, 0.5, -0.5, 0.5));
}

TEST(EmbeddingCoefficients, WithAllSelectedAreZero) {
  for (const Aggregate aggregate : {Aggregate::kSum, Aggregate::kMean, Aggregate::kCentred}) {
    EXPECT_THAT(coefficients({0, 1, 2, 3}, Conditioning::kUnselected, aggregate),
                ElementsAre(0, 0, 0, 0));
  }
}

}  // namespace
}  // namespace hetmoe
