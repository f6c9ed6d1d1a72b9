#include "runtime/report/console.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <functional>

namespace hetmoe {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class StillClock final : public Clock {
 public:
  double monotonic_seconds() const override { return seconds; }
  double wall_seconds() const override { return seconds; }
  double seconds = 0;
};

/// Everything that a console writes while `act` has it, its end included.
std::string written(bool terminal, StillClock& clock, const std::function<void(Console&)>& act) {
  char* text = nullptr;
  std::size_t size = 0;
  std::FILE* stream = ::open_memstream(&text, &size);
  {
    Console console(stream, clock, {.terminal = terminal});
    act(console);
  }
  std::fclose(stream);
  const std::string result(text, size);
  ::free(text);
  return result;
}

/// What remains of a text on a terminal: a carriage return goes back, the code clears to the end.
std::string as_seen(const std::string& text) {
  std::string seen;
  std::size_t start = 0;
  std::size_t column = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '\r') {
      column = 0;
    } else if (text.compare(at, 3, "\x1b[K") == 0) {
      seen.resize(start + column);
      at += 2;
    } else if (text[at] == '\n') {
      seen += '\n';
      start = seen.size();
      column = 0;
    } else {
      if (start + column < seen.size()) {
        seen[start + column] = text[at];
      } else {
        seen += text[at];
      }
      ++column;
    }
  }
  return seen;
}

StepRecord step_record(std::int64_t step, double loss) {
  return {.step = step, .loss = loss, .tokens_per_second = 6150, .flops_max_over_mean = 1.052};
}

std::string after_header(const std::string& text) { return text.substr(text.find("\n\n") + 2); }

void train(Console& console, StillClock& clock, std::int64_t steps, double seconds_per_step) {
  console.header({.config_name = "tiny", .steps = steps});
  for (std::int64_t step = 1; step <= steps; ++step) {
    clock.seconds += seconds_per_step;
    console.step(step_record(step, 8.0 - 0.01 * static_cast<double>(step)));
  }
}

TEST(Console, WritesAPlainLineNowAndThenIntoALog) {
  StillClock clock;
  const std::string text =
      written(false, clock, [&](Console& console) { train(console, clock, 30, 1.0); });
  EXPECT_EQ(after_header(text),
            "step  1/30  loss  7.9900  6.15 k tokens/s  balance 1.05  left 29 s\n"
            "step 11/30  loss  7.8900  6.15 k tokens/s  balance 1.05  left 19 s\n"
            "step 21/30  loss  7.7900  6.15 k tokens/s  balance 1.05  left 9.0 s\n"
            "step 30/30  loss  7.7000  6.15 k tokens/s  balance 1.05\n");
}

TEST(Console, WritesNoControlCharacterIntoALog) {
  StillClock clock;
  const std::string text = written(false, clock, [&](Console& console) {
    train(console, clock, 30, 1.0);
    console.evaluation({.step = 30, .loss = 5, .tokens = 65536, .bits_per_byte = 2});
    console.finish({});
  });
  EXPECT_THAT(text, Not(HasSubstr("\r")));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST(Console, RewritesOneLineOnATerminalAtMostFiveTimesASecond) {
  StillClock clock;
  const std::string text =
      written(true, clock, [&](Console& console) { train(console, clock, 100, 0.0625); });
  EXPECT_EQ(as_seen(after_header(text)),
            "step 100/100  loss  7.0000  6.15 k tokens/s  balance 1.05\n");
  // 6.25 s: the first step, then every fourth (0.25 s), then the last.
  EXPECT_EQ(std::count(text.begin(), text.end(), '\r'), 26);
}

TEST(Console, PutsEvaluationsAndWarningsAboveTheLiveLine) {
  StillClock clock;
  const std::string text = written(true, clock, [&](Console& console) {
    console.header({.config_name = "tiny", .steps = 3});
    clock.seconds = 1;
    console.step(step_record(1, 7.5));
    console.evaluation({.step = 1, .loss = 5.25, .tokens = 65536, .bits_per_byte = 2.125});
    console.warning("threads: 4 are more than the 2 cores of this rank");
  });
  EXPECT_EQ(as_seen(after_header(text)),
            "evaluation at step 1: held-out loss 5.2500, 2.125 bits per byte, 65.5 k tokens\n"
            "warning: threads: 4 are more than the 2 cores of this rank\n"
            "step 1/3  loss  7.5000  6.15 k tokens/s  balance 1.05  left 2.0 s\n");
}

TEST(Console, LearnsThePaceWithoutTheFirstStep) {
  StillClock clock;
  const std::string text = written(false, clock, [&](Console& console) {
    console.header({.config_name = "tiny", .steps = 101});
    clock.seconds = 60;  // kernels are built, memory is touched
    console.step(step_record(1, 8));
    for (std::int64_t step = 2; step <= 12; ++step) {
      clock.seconds += 1;
      console.step(step_record(step, 8));
    }
  });
  EXPECT_THAT(text, HasSubstr("step  11/101  loss  8.0000  6.15 k tokens/s  balance 1.05"
                              "  left 1 min 30 s\n"));
}

TEST(Console, ShowsSkippedSteps) {
  StillClock clock;
  const std::string text = written(false, clock, [&](Console& console) {
    console.header({.config_name = "tiny", .steps = 2});
    StepRecord record = step_record(2, 8);
    record.skipped = 1;
    console.step(record);
  });
  EXPECT_THAT(text, HasSubstr("balance 1.05  skipped 1\n"));
}

TEST(Console, SurvivesAStreamThatRefusesToBeWritten) {
  StillClock clock;
  std::FILE* full = std::fopen("/dev/full", "w");
  ASSERT_NE(full, nullptr);
  {
    Console console(full, clock, {.terminal = true});
    EXPECT_NO_THROW(train(console, clock, 3, 1.0));
    EXPECT_NO_THROW(console.finish({}));
  }
  std::fclose(full);
}

TEST(Console, DoesNotTakeAPipeForATerminal) {
  std::FILE* pipe = ::popen("cat >/dev/null", "w");
  ASSERT_NE(pipe, nullptr);
  EXPECT_FALSE(is_live_terminal(pipe));
  ::pclose(pipe);
}

}  // namespace
}  // namespace hetmoe
