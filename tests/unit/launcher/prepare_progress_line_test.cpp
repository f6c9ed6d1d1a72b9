#include "launcher/prepare_progress_line.h"

#include <gmock/gmock.h>

#include "tests/support/hand_clock.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kMegabyte = 1'000'000;

PrepareProgress encoding(std::int64_t megabytes, std::int64_t documents) {
  return {.stage = "encoding",
          .read_bytes = megabytes * kMegabyte,
          .total_bytes = 1000 * kMegabyte,
          .documents = documents,
          .tokens = 10 * documents};
}

TEST(PrepareProgressLine, TellsShareRateTokensAndTimeLeft) {
  test::HandClock clock;
  PrepareProgressLine line(clock, false);
  EXPECT_EQ(line.next(encoding(0, 0)), "encoding: 0 %\n");
  clock.seconds += 20;
  EXPECT_EQ(line.next(encoding(250, 7)),
            "encoding: 25 %, 12.5 MB/s, 7 documents, 70 tokens, 1 min 00 s left\n");
}

TEST(PrepareProgressLine, WritesToALogEveryTenSecondsAndAtEveryStage) {
  test::HandClock clock;
  PrepareProgressLine line(clock, false);
  EXPECT_EQ(line.next({.stage = "training tokenizer", .total_bytes = 5}), "training tokenizer\n");
  EXPECT_EQ(line.next(encoding(0, 0)), "encoding: 0 %\n");
  for (int i = 0; i < 9; ++i) {
    clock.seconds += 1;
    EXPECT_EQ(line.next(encoding(i, 1)), "");
  }
  clock.seconds += 1;
  EXPECT_NE(line.next(encoding(10, 1)), "");
  PrepareProgress done = encoding(1000, 90);
  done.stage = "done";
  EXPECT_EQ(line.next(done), "done: 100 %, 90 documents, 900 tokens\n");
  EXPECT_EQ(line.end(), "");
}

TEST(PrepareProgressLine, WritesOneLineOfATerminalAgainAndAgain) {
  test::HandClock clock;
  PrepareProgressLine line(clock, true);
  EXPECT_EQ(line.end(), "");
  EXPECT_EQ(line.next(encoding(0, 0)), "\rencoding: 0 %\x1b[K");
  clock.seconds += 0.1;
  EXPECT_EQ(line.next(encoding(1, 1)), "");
  clock.seconds += 7199.9;
  EXPECT_EQ(line.next(encoding(500, 1)),
            "\rencoding: 50 %, 0.1 MB/s, 1 documents, 10 tokens, 2 h 00 min left\x1b[K");
  PrepareProgress done = encoding(1000, 1);
  done.stage = "done";
  EXPECT_EQ(line.next(done), "\n\rdone: 100 %, 1 documents, 10 tokens\x1b[K");
  EXPECT_EQ(line.end(), "\n");
}

// What an earlier run read says nothing of the pace of this one.
TEST(PrepareProgressLine, CountsThePaceFromWhereItWentOn) {
  test::HandClock clock;
  PrepareProgressLine line(clock, false);
  PrepareProgress progress = encoding(600, 4);
  progress.resumed = true;
  EXPECT_EQ(line.next(progress),
            "going on where an unfinished preparation stopped\n"
            "encoding: 60 %, 4 documents, 40 tokens\n");
  clock.seconds += 10;
  progress.read_bytes += 100 * kMegabyte;
  EXPECT_EQ(line.next(progress), "encoding: 70 %, 10.0 MB/s, 4 documents, 40 tokens, 30 s left\n");
}

}  // namespace
}  // namespace hetmoe
