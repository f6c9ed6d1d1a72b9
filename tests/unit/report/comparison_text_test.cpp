#include "runtime/report/comparison_text.h"

#include <gtest/gtest.h>

#include <vector>

namespace hetmoe {
namespace {

TEST(ComparisonText, ShowsALinePerRunAndADashForWhatIsNotKnown) {
  const std::vector<ComparedRun> runs = {{.name = "equal",
                                          .state = "finished",
                                          .steps = 400,
                                          .held_out_loss = 3.51239,
                                          .bits_per_byte = 1.9,
                                          .tokens_per_second = 12345,
                                          .active_parameters = 1.2e6},
                                         {.name = "a", .state = "failed"}};
  EXPECT_EQ(comparison_text(runs),
            "run    state     steps  held-out loss  bits per byte  tokens/s  active parameters\n"
            "equal  finished    400         3.5124         1.9000    12.3 k             1.20 M\n"
            "a      failed        0              -              -         -                  -\n");
}

TEST(ComparisonText, LetsNoControlCharacterThrough) {
  const std::vector<ComparedRun> runs = {{.name = "a\x1b[2J", .state = "lost"}};
  EXPECT_EQ(comparison_text(runs).find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace hetmoe
