#include <gmock/gmock.h>

#include <cmath>

#include "core/base/error.h"
#include "runtime/report/page/expert_loads.h"
#include "runtime/report/page/report_page.h"
#include "runtime/report/page/sections.h"

namespace hetmoe {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* kAttack = "<script>alert('1')</script>\" onload=\"x";

int occurrences(const std::string& text, const std::string& part) {
  int count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

/// Two ranks, three experts, a rebalance after step 20 that evens out the work.
RunStory whole_story(int steps = 60) {
  RunStory story;
  story.name = "run-a";
  story.state = RunState::kFinished;
  story.state_reason = "code 0";
  story.config = {{"train.steps", "60"}, {"model.num_layers", "2"}, {"train.seed", "1"}};
  story.widths = {16, 8, 24};
  for (int i = 1; i <= steps; ++i) {
    StoryStep step{.step = i, .generation = 1, .tokens = 64.0 * i, .loss = 8.0 - 0.01 * i};
    step.learning_rate = 1e-3;
    step.grad_norm = 1.0 / i;
    step.step_seconds = 0.5;
    step.tokens_per_second = 128;
    step.model_flops_per_second = 4e9;
    step.phase_seconds.fill(0.05);
    step.flops_max_over_mean = i <= 20 ? 1.5 : 1;
    step.memory_bytes = 1 << 28;
    step.expert_tokens = {30, 60, 10};
    step.rank_expert_flops = i <= 20 ? std::vector{30.0, 10.0} : std::vector{20.0, 20.0};
    story.steps.push_back(step);
  }
  story.evaluations = {{50, 5.5, 2.25}};
  story.rebalances = {{.step = 20,
                       .predicted_gain_seconds = 0.1,
                       .measured_gain_seconds = 0.08,
                       .flops_max_over_mean_before = 1.5,
                       .flops_max_over_mean_after = 1.0}};
  story.saves = {{.step = 50, .time = 1.8e9, .bytes = 1e6, .seconds = 2, .blocked_seconds = 0.1}};
  story.starts = {{.generation = 1,
                   .time = 1.8e9,
                   .end_time = 1.8e9 + 60,
                   .first_step = 1,
                   .last_step = 60,
                   .ranks = 2,
                   .precision = "fp32",
                   .end = "finished"}};
  story.history = {.starts = 1, .productive_seconds = 30, .wall_seconds = 60, .saves = 1};
  Plan plan;
  plan.placement.layers.assign(
      2, LayerPlacement{{{0, 0, 0, 16, 1}, {1, 0, 0, 8, 1}, {2, 1, 0, 24, 1}}});
  story.plan = plan;
  return story;
}

/// As a page without the texts that are ours.
std::string page_of(const std::vector<RunStory>& stories) { return report_page(stories, 1.8e9); }

TEST(ReportPage, ShowsEveryPartOfARun) {
  const std::string page = page_of({whole_story()});
  for (const char* part :
       {"<h1>run-a</h1>", "finished</span>", "<h3>Loss</h3>", "<h3>Learning rate</h3>",
        "<h3>Tokens per second</h3>", "<h3>Where a step&#39;s time goes</h3>",
        "<h3>Tokens beside widths</h3>", "<h3>Tokens of each expert over time</h3>",
        "<h3>Balance of expert FLOPs</h3>", "<h3>Rebalance after step 20</h3>",
        "<h3>What each rank holds</h3>", "<h3>What each rank computes</h3>", "<h3>Memory</h3>",
        "<h2>Checkpoints</h2>", "<h2>Starts</h2>", "Effective training time: 50.0 %", "5.500",
        "held out"}) {
    EXPECT_THAT(page, HasSubstr(part));
  }
}

TEST(ReportPage, AsksForNothingFromAnywhere) {
  const std::string page = page_of({whole_story(), whole_story()});
  for (const char* part : {"src=", "href=", "@import", "url(", "<link", "<iframe", "<img"})
    EXPECT_THAT(page, Not(HasSubstr(part)));
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  EXPECT_EQ(occurrences(page, "http"), 2);  // http-equiv, and the name of SVG in the script
  EXPECT_EQ(occurrences(page, "<script"), 1);
}

TEST(ReportPage, TextsOfFilesStayTexts) {
  RunStory story = whole_story();
  story.name = story.state_reason = story.starts[0].end = story.starts[0].precision = kAttack;
  story.config = {{kAttack, kAttack},
                  {"train.steps", kAttack},
                  {"model.num_layers", kAttack},
                  {"model.router.kind", "top_k"},
                  {"model.router.top_k", kAttack},
                  {"model.router.forced", kAttack}};
  story.incidents = {{.time = 0, .generation = 1, .step = 1, .event = kAttack, .details = kAttack}};
  story.num_incidents = 1;
  story.passed_over = {kAttack};
  RunStory second = story;
  second.config[0].second = "other";
  for (const std::string& page : {page_of({story}), page_of({story, second})}) {
    EXPECT_EQ(occurrences(page, "<script"), 1);
    EXPECT_THAT(page, AllOf(Not(HasSubstr("alert('")), Not(HasSubstr("\" onload"))));
    EXPECT_GT(occurrences(page, "&lt;script&gt;alert(&#39;1&#39;)"), 7);
  }
}

TEST(ReportPage, StandsForRunsThatTellNearlyNothing) {
  RunStory nothing;
  nothing.name = "empty";
  nothing.passed_over = {"metrics.jsonl: is not there"};
  EXPECT_THAT(page_of({nothing}), AllOf(HasSubstr("<h1>empty</h1>"), HasSubstr("lost</span>"),
                                        HasSubstr("metrics.jsonl: is not there")));
  RunStory numberless = nothing;
  numberless.steps.assign(3, StoryStep{});
  for (int i = 0; i < 3; ++i) numberless.steps[i].step = i + 1;
  numberless.rebalances = {{.step = 2}};
  numberless.saves = {{.step = 2}};
  numberless.starts = {{}, {}};
  for (const std::string& page : {page_of({numberless}), page_of({numberless, nothing})})
    EXPECT_THAT(page,
                AllOf(Not(HasSubstr(">nan")), Not(HasSubstr(" nan")), Not(HasSubstr("inf "))));
}

TEST(ReportPage, OfALongRunStaysSmall) {
  RunStory story = whole_story(50000);
  for (StoryStep& step : story.steps) {
    step.loss += std::sin(static_cast<double>(step.step) * 12.9898);
    step.tokens_per_second += 50 * std::sin(static_cast<double>(step.step) * 78.233);
    step.expert_tokens.assign(64, 5);
  }
  story.widths.assign(64, 16);
  for (int i = 0; i < 1000; ++i) story.rebalances.push_back({.step = 30 + 40 * i});
  story.saves.assign(5000, story.saves.front());
  EXPECT_LT(page_of({story}).size(), 400u << 10);
}

TEST(ReportPage, ComparesRunsAndListsOnlyWhatDiffers) {
  RunStory one = whole_story(), other = whole_story();
  other.config = {{"train.steps", "60"}, {"train.seed", "2"}, {"train.new", "yes"}};
  const std::string page = page_of({one, other});
  EXPECT_THAT(page, HasSubstr("<h3>Training loss by tokens</h3>"));
  EXPECT_THAT(page, HasSubstr("run-a (2)"));  // two folders of one name can be told apart
  const std::string table = page.substr(page.find("<h2>Differences</h2>"));
  const std::string head = table.substr(0, table.find("</table>"));
  EXPECT_THAT(head, AllOf(HasSubstr("train.seed"), Not(HasSubstr("train.new")),
                          Not(HasSubstr("train.steps"))));
  const std::string rest = table.substr(head.size());
  const std::string partly = rest.substr(0, rest.find("</details>"));
  EXPECT_THAT(partly, AllOf(HasSubstr("train.new"), HasSubstr("model.num_layers"),
                            Not(HasSubstr("train.seed"))));
  EXPECT_EQ(occurrences(page, "<h3>Loss</h3>"), 2);
}

TEST(ReportPage, OfManyRunsShowsTheComparisonOnly) {
  const std::vector<RunStory> many(kMostDetailedRuns + 1, whole_story());
  EXPECT_EQ(occurrences(page_of(many), "<h3>Loss</h3>"), 0);
  EXPECT_THROW(page_of(std::vector<RunStory>(kMostRuns + 1)), InternalError);
}

TEST(ReportPage, UtilisationNeedsAPeak) {
  RunStory story = whole_story();
  EXPECT_THAT(speed_part(story), AllOf(HasSubstr("<h3>Model FLOP/s</h3>"), Not(HasSubstr("MFU"))));
  story.config.emplace_back("metrics.peak_flops", "4e9");
  // 4 GFLOP/s of two ranks that could do 4 GFLOP/s each.
  EXPECT_THAT(speed_part(story), AllOf(HasSubstr("MFU"), HasSubstr("data-y=\"0 50 0 %\"")));
}

TEST(ExpertLoads, SharesAreOfAllTokens) {
  const RunStory story = whole_story();
  EXPECT_EQ(num_experts(story), 3u);
  EXPECT_THAT(expert_shares(story, 0, 10), ElementsAre(0.3, 0.6, 0.1));
  EXPECT_THAT(expert_shares(RunStory{}, 0, 0), IsEmpty());
  EXPECT_THAT(by_width(story.widths, 3), ElementsAre(1, 0, 2));
}

TEST(ExpertLoads, RanksAreAveragedOnTheirSideOfARebalance) {
  const RunStory story = whole_story();
  EXPECT_THAT(rank_flops(story, {0, 20, 20, true}), ElementsAre(30, 10));
  EXPECT_THAT(rank_flops(story, {20, 60, 20, false}), ElementsAre(20, 20));
  EXPECT_THAT(rank_flops(story, {0, 60, 40, true}), ElementsAre(20, 20));   // the newest 40
  EXPECT_THAT(rank_flops(story, {0, 60, 40, false}), ElementsAre(25, 15));  // the oldest 40
  EXPECT_THAT(rank_flops(story, {100, 200, 20, false}), IsEmpty());
}

TEST(ExpertLoads, StepsOfOtherWorldsHaveNoCommonMean) {
  RunStory story = whole_story();
  story.steps[30].rank_expert_flops = {1, 2, 3};
  EXPECT_THAT(rank_flops(story, {20, 60, 20, false}), IsEmpty());
}

}  // namespace
}  // namespace hetmoe
