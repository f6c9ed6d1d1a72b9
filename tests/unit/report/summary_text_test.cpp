#include "runtime/report/summary_text.h"

#include <gmock/gmock.h>

#include <limits>
#include <sstream>

namespace hetmoe {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

RunSummary tiny_run() {
  return {.config_name = "tiny",
          .run_directory = "runs/tiny-20261122-041017-0a1b",
          .num_layers = 4,
          .hidden_size = 256,
          .num_heads = 4,
          .vocab_size = 2048,
          .expert_widths = {288, 352, 416, 480, 544, 608, 672, 736},
          .router = "top-2",
          .total_parameters = 13631488,
          .active_parameters = 5242880,
          .ranks = 2,
          .tokens_per_step = 2048,
          .steps = 600,
          .precision = "bf16",
          .cores = {.least_cores = 2, .most_cores = 2, .most_sharing = 2},
          .device = "cpu",
          .gradient_bytes = 30 << 20,
          .parameter_bytes = 15 << 20,
          .busiest_update_bytes = 23 << 20,
          .plan = {{.rank = 0,
                    .slices = 16,
                    .expert_parameters = 6291456,
                    .flops_ratio = 0.503,
                    .state_bytes = 150LL << 20,
                    .activation_bytes = 48LL << 20},
                   {.rank = 1,
                    .slices = 16,
                    .expert_parameters = 6291456,
                    .flops_ratio = 0.497,
                    .state_bytes = 151LL << 20,
                    .activation_bytes = 3LL << 30}}};
}

FinalSummary tiny_end() {
  return {.steps = 600,
          .tokens = 1228800,
          .elapsed_seconds = 200,
          .vocab_size = 2048,
          .evaluation_loss = 4.5,
          .unigram_entropy = 6.25,
          .bits_per_byte = 2.125,
          .median_tokens_per_second = 6150,
          .mean_flops_max_over_mean = 1.0521,
          .peak_memory_bytes = 812LL << 20,
          .skipped_steps = 0,
          .experts = {{.width = 288, .token_ratio = 0.75}, {.width = 736, .token_ratio = 0.25}},
          .run_directory = "runs/tiny-20261122-041017-0a1b"};
}

void expect_plain(const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 100U) << line;
    for (const char letter : line) EXPECT_TRUE(letter >= ' ' && letter <= '~') << line;
    EXPECT_FALSE(!line.empty() && line.back() == ' ') << "'" << line << "'";
  }
  EXPECT_EQ(text.back(), '\n');
}

TEST(HeaderText, SaysWhatWillRun) {
  EXPECT_EQ(header_text(tiny_run()),
            "hetmoe: tiny on 2 ranks\n"
            "  model             4 layers, hidden size 256, 4 heads, vocabulary 2048\n"
            "  experts           8 in each layer, widths 288 352 416 480 544 608 672 736, top-2\n"
            "  parameters        13.6 M in total, 5.24 M active per token (average)\n"
            "  training          600 steps of 2048 tokens, 1.23 M tokens in all\n"
            "  arithmetic        bf16 on cpu, 1 thread per rank\n"
            "  cores             2 cores for 2 ranks that share them\n"
            "  update traffic    30.0 MiB of gradients and 15.0 MiB of parameters a step, of one "
            "rank 23.0 MiB\n"
            "  run directory     runs/tiny-20261122-041017-0a1b\n"
            "\n"
            "  rank   slices   expert parameters   share of FLOPs      state   activations\n"
            "     0       16              6.29 M           50.3 %    150 MiB     ~48.0 MiB\n"
            "     1       16              6.29 M           49.7 %    151 MiB     ~3.00 GiB\n");
}

TEST(HeaderText, SaysWhereTokensComeFromAndHowOftenTheyAreSeen) {
  RunSummary run = tiny_run();
  run.sources = {{.name = "data/gcide/train",
                  .format = "Megatron uint16",
                  .tokens = 3100000,
                  .taken_tokens = 1228800,
                  .epochs = 0.396}};
  EXPECT_THAT(header_text(run),
              HasSubstr("\n  data              data/gcide/train (Megatron uint16, 3.10 M tokens, "
                        "0.40 epochs)\n"));
  run.sources.front().weight_ratio = 0.7;
  run.sources.push_back({.name = "data/code_*.bin",
                         .format = "llm.c version 1 uint16",
                         .tokens = 100000000,
                         .weight_ratio = 0.3,
                         .taken_tokens = 368640,
                         .epochs = 0.0037});
  const std::string text = header_text(run);
  EXPECT_THAT(text,
              HasSubstr("\n  data              a mixture of 2 sources\n"
                        "            70.0 %  data/gcide/train (Megatron uint16, 3.10 M tokens, "
                        "0.40 epochs: 1.23 M tokens)\n"
                        "            30.0 %  data/code_*.bin (llm.c version 1 uint16, 100 M "
                        "tokens, 0.00 epochs: 369 k tokens)\n"));
}

TEST(HeaderText, StaysReadableWithManyRanksAndExperts) {
  RunSummary run = tiny_run();
  run.expert_widths.assign(64, 14336);
  run.expert_widths.back() = 28672;
  run.plan.clear();
  for (int rank = 0; rank < 1024; ++rank) run.plan.push_back({.rank = rank, .slices = 1});
  const std::string text = header_text(run);
  EXPECT_THAT(text, HasSubstr("64 in each layer, widths from 14336 to 28672, top-2\n"));
  EXPECT_THAT(text, HasSubstr("    ... 992 more\n"));
  EXPECT_THAT(text, HasSubstr("\n  1023 "));
  EXPECT_THAT(text, Not(HasSubstr("\n   500 ")));
  expect_plain(text);
}

TEST(HeaderText, SaysWhereRanksMayRun) {
  RunSummary run = tiny_run();
  const auto says = [&](int ranks, const CoreUse& cores) {
    run.ranks = ranks;
    run.cores = cores;
    const std::string text = header_text(run);
    const std::size_t line = text.find("  cores ");
    return text.substr(line + 20, text.find('\n', line) - line - 20);
  };
  EXPECT_EQ(says(1, {.least_cores = 4, .most_cores = 4, .most_sharing = 1}), "4 cores");
  EXPECT_EQ(says(4, {.hosts = 2, .least_cores = 8, .most_cores = 8, .most_sharing = 1}),
            "each rank bound to 8 cores of its own on 2 hosts");
  EXPECT_EQ(says(3, {.hosts = 2, .least_cores = 1, .most_cores = 4, .most_sharing = 2}),
            "1 to 4 cores for up to 2 ranks that share them on 2 hosts");
  run.cores.least_threads = 1;
  run.cores.most_threads = 3;
  EXPECT_THAT(header_text(run), HasSubstr("bf16 on cpu, 1 to 3 threads per rank\n"));
}

TEST(HeaderText, SaysThatGroupsHoldCopies) {
  RunSummary run = tiny_run();
  run.ranks = 8;
  run.expert_groups = 4;
  EXPECT_THAT(header_text(run),
              HasSubstr("\n  expert groups     4 of 2 ranks, each with all experts\n"));
  run.ranks = 4;
  EXPECT_THAT(header_text(run), HasSubstr(" 4 of 1 rank, each with all experts\n"));
}

TEST(HeaderText, SaysOneWidthOnce) {
  RunSummary run = tiny_run();
  run.expert_widths.assign(8, 512);
  EXPECT_THAT(header_text(run), HasSubstr("8 in each layer, all of width 512, top-2\n"));
}

TEST(ClosingText, SetsTheLossAgainstItsBounds) {
  EXPECT_EQ(closing_text(tiny_end()),
            "done: 600 steps, 1.23 M tokens in 3 min 20 s\n"
            "  held-out loss        4.500   nats per token\n"
            "  ln(vocabulary)       7.625   (the loss is 3.125 below it)\n"
            "  unigram entropy      6.250   (the loss is 1.750 below it)\n"
            "  bits per byte        2.125\n"
            "  tokens/s            6.15 k   (median)\n"
            "  balance max/mean     1.052   (expert FLOPs by rank, mean over steps)\n"
            "  peak memory        812 MiB   (largest rank)\n"
            "  run directory     runs/tiny-20261122-041017-0a1b\n"
            "\n"
            "  expert   width   share of tokens\n"
            "       0     288    75.0 %  ##################################################\n"
            "       1     736    25.0 %  #################\n");
  expect_plain(closing_text(tiny_end()));
}

TEST(ClosingText, SaysHowMuchTimeARestartedRunHasKept) {
  FinalSummary end = tiny_end();
  end.effective_time_ratio = 0.934;
  EXPECT_THAT(closing_text(end), Not(HasSubstr("effective time")));
  end.starts = 3;
  EXPECT_THAT(closing_text(end),
              HasSubstr("  effective time      93.4 %   (steps that count, of the time since the "
                        "first of 3 starts)\n"));
  expect_plain(closing_text(end));
}

TEST(ClosingText, SaysWhenTheLossDoesNotBeatABound) {
  FinalSummary end = tiny_end();
  end.evaluation_loss = 6.5;
  EXPECT_THAT(closing_text(end), HasSubstr("6.250   (the loss is 0.250 above it)"));
}

TEST(ClosingText, LeavesOutWhatWasNotMeasuredAndShowsSkippedSteps) {
  FinalSummary end = tiny_end();
  end.evaluation_loss.reset();
  end.unigram_entropy.reset();
  end.bits_per_byte.reset();
  end.skipped_steps = 3;
  const std::string text = closing_text(end);
  EXPECT_THAT(text, Not(HasSubstr("held-out")));
  EXPECT_THAT(text, Not(HasSubstr("unigram")));
  EXPECT_THAT(text, HasSubstr("  ln(vocabulary)       7.625\n"));
  EXPECT_THAT(text, HasSubstr("  skipped steps            3   (not finite)\n"));
}

TEST(ClosingText, SurvivesNumbersThatAreNotFinite) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  FinalSummary end = tiny_end();
  end.evaluation_loss = nan;
  end.experts = {{.width = 1, .token_ratio = nan}, {.width = 2, .token_ratio = 0}};
  const std::string text = closing_text(end);
  EXPECT_THAT(text, HasSubstr("  held-out loss          nan   nats per token\n"));
  EXPECT_THAT(text, HasSubstr("  ln(vocabulary)       7.625\n"));
  expect_plain(text);
}

}  // namespace
}  // namespace hetmoe
