#include "parallel/simulation/source_sequences.h"

#include <gmock/gmock.h>

#include <numeric>

namespace hetmoe {
namespace {

using ::testing::ElementsAre;

TEST(SourceSequences, EqualRanksGetThemAsEvenlyAsTheyGo) {
  EXPECT_THAT(deal_sequences(8, std::vector<double>{1, 1, 1}), ElementsAre(3, 3, 2));
  EXPECT_THAT(deal_sequences(2, std::vector<double>{1, 1, 1}), ElementsAre(1, 1, 0));
  EXPECT_THAT(deal_sequences(0, std::vector<double>{1, 1}), ElementsAre(0, 0));
}

TEST(SourceSequences, WeightsDecide) {
  EXPECT_THAT(deal_sequences(8, std::vector<double>{1, 3}), ElementsAre(2, 6));
  EXPECT_THAT(deal_sequences(5, std::vector<double>{1, 0, 1}), ElementsAre(3, 0, 2));
  EXPECT_THAT(deal_sequences(3, std::vector<double>{0.1, 0.1, 0.1}), ElementsAre(1, 1, 1));
}

TEST(SourceSequences, NothingIsLostAndNobodyIsOffByOne) {
  for (int ranks = 1; ranks < 40; ++ranks) {
    std::vector<double> weights;
    for (int rank = 0; rank < ranks; ++rank) weights.push_back(1 + (rank * 7) % 5);
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    const auto dealt = deal_sequences(101, weights);
    EXPECT_EQ(std::accumulate(dealt.begin(), dealt.end(), std::int64_t{0}), 101);
    for (int rank = 0; rank < ranks; ++rank)
      EXPECT_LT(std::abs(static_cast<double>(dealt[rank]) - 101 * weights[rank] / total), 1.0);
  }
}

}  // namespace
}  // namespace hetmoe
