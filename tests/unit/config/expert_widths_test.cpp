#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "core/base/error.h"
#include "core/model/model_config.h"

namespace hetmoe {
namespace {

using testing::Each;
using testing::ElementsAre;

ExpertsConfig experts(int count, std::int64_t mean_width, WidthShape shape, double ratio = 2.56) {
  ExpertsConfig config;
  config.count = count;
  config.mean_width = mean_width;
  config.shape = shape;
  config.ratio = ratio;
  return config;
}

// HMoE, figure 11 and table 5 (3B), and the same shares of 12,288 and 8,192.
TEST(ExpertWidths, ArithmeticWidthsAreThePapers) {
  EXPECT_THAT(expert_widths(experts(8, 4096, WidthShape::kArithmetic)),
              ElementsAre(2304, 2816, 3328, 3840, 4352, 4864, 5376, 5888));
  EXPECT_THAT(expert_widths(experts(8, 1536, WidthShape::kArithmetic)),
              ElementsAre(864, 1056, 1248, 1440, 1632, 1824, 2016, 2208));
  EXPECT_THAT(expert_widths(experts(8, 1024, WidthShape::kArithmetic)),
              ElementsAre(576, 704, 832, 960, 1088, 1216, 1344, 1472));
  EXPECT_THAT(expert_widths(experts(8, 512, WidthShape::kArithmetic)),
              ElementsAre(288, 352, 416, 480, 544, 608, 672, 736));
}

// The paper's relative sizes {9, 11, ..., 23} have mean 16 and need no rounding.
TEST(ExpertWidths, SmallMeansAreRoundedToOne) {
  EXPECT_THAT(expert_widths(experts(8, 16, WidthShape::kArithmetic, 23.0 / 9)),
              ElementsAre(9, 11, 13, 15, 17, 19, 21, 23));
}

TEST(ExpertWidths, HybridIsThePapersPattern) {
  EXPECT_THAT(expert_widths(experts(8, 1536, WidthShape::kHybrid)),
              ElementsAre(768, 768, 768, 768, 1536, 1536, 3072, 3072));
  EXPECT_THAT(expert_widths(experts(4, 2, WidthShape::kHybrid)), ElementsAre(1, 1, 2, 4));
  EXPECT_THAT(expert_widths(experts(3, 100, WidthShape::kHybrid)), ElementsAre(100, 100, 100));
}

TEST(ExpertWidths, GeometricWidthsDouble) {
  EXPECT_THAT(expert_widths(experts(4, 15 * 64, WidthShape::kGeometric)),
              ElementsAre(256, 512, 1024, 2048));
  const auto widths = expert_widths(experts(8, 1536, WidthShape::kGeometric));
  for (std::size_t i = 1; i < widths.size(); ++i) {
    EXPECT_NEAR(static_cast<double>(widths[i]) / static_cast<double>(widths[i - 1]), 2.0, 0.05);
  }
}

TEST(ExpertWidths, HomogeneousWidthsAreEqualWhateverTheMean) {
  for (const std::int64_t mean : {1, 63, 64, 100, 1023, 4096}) {
    EXPECT_THAT(expert_widths(experts(7, mean, WidthShape::kHomogeneous)), Each(mean));
    EXPECT_THAT(expert_widths(experts(7, mean, WidthShape::kArithmetic, 1.0)), Each(mean));
  }
}

TEST(ExpertWidths, EveryShapeSumsExactlyAscendsAndKeepsTheRatio) {
  for (const auto shape : {WidthShape::kArithmetic, WidthShape::kGeometric, WidthShape::kHybrid,
                           WidthShape::kHomogeneous}) {
    for (const int count : {1, 2, 3, 5, 7, 8}) {
      for (const std::int64_t mean : {40, 64, 100, 333, 1024, 1537}) {
        const auto widths = expert_widths(experts(count, mean, shape));
        ASSERT_EQ(widths.size(), static_cast<std::size_t>(count));
        EXPECT_EQ(std::accumulate(widths.begin(), widths.end(), std::int64_t{0}), count * mean);
        EXPECT_TRUE(std::is_sorted(widths.begin(), widths.end())) << count << " x " << mean;
        EXPECT_GE(widths.front(), 1);
        if (shape == WidthShape::kArithmetic && count > 1) {
          const double ratio =
              static_cast<double>(widths.back()) / static_cast<double>(widths.front());
          EXPECT_NEAR(ratio, 2.56, 2.56 * 16 / static_cast<double>(widths.front()));
        }
      }
    }
  }
}

TEST(ExpertWidths, LargeMeansGiveMultiplesOfEight) {
  for (const std::int64_t mean : {64, 128, 1000, 1536}) {
    for (const auto width : expert_widths(experts(8, mean, WidthShape::kArithmetic))) {
      EXPECT_EQ(width % 8, 0) << "mean " << mean;
    }
  }
}

TEST(ExpertWidths, ListedWidthsAreTakenAsTheyAre) {
  ExpertsConfig config = experts(3, 1024, WidthShape::kGeometric);
  config.widths = {30, 10, 20};
  EXPECT_THAT(expert_widths(config), ElementsAre(30, 10, 20));
}

TEST(ExpertWidths, AWidthBelowOneIsRefused) {
  EXPECT_THROW(expert_widths(experts(8, 1, WidthShape::kArithmetic, 100)), ConfigError);
  EXPECT_THROW(expert_widths(experts(16, 1024, WidthShape::kGeometric)), ConfigError);
  EXPECT_THROW(expert_widths(experts(1024, 1 << 20, WidthShape::kGeometric)), ConfigError);
  EXPECT_THROW(expert_widths(experts(0, 8, WidthShape::kHybrid)), ConfigError);
}

TEST(ModelConfig, HeadDimensionFollowsHiddenSizeUnlessGiven) {
  ModelConfig model;
  model.hidden_size = 768;
  model.num_heads = 12;
  EXPECT_EQ(head_dim(model), 64);
  model.head_dim = 128;
  EXPECT_EQ(head_dim(model), 128);
}

TEST(ModelConfig, AutoRenormalizesAllButTopOne) {
  RouterConfig router;
  EXPECT_TRUE(renormalizes(router));
  router.top_k = 1;
  EXPECT_FALSE(renormalizes(router));
  router.kind = RouterKind::kTopP;
  EXPECT_TRUE(renormalizes(router));
  router.renormalize = Renormalize::kFalse;
  EXPECT_FALSE(renormalizes(router));
  router.kind = RouterKind::kTopK;
  router.renormalize = Renormalize::kTrue;
  EXPECT_TRUE(renormalizes(router));
}

}  // namespace
}  // namespace hetmoe
