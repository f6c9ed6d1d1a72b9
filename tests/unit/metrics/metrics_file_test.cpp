#include "runtime/metrics/metrics_file.h"

#include <gmock/gmock.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/error.h"
#include "runtime/metrics/events_file.h"
#include "tests/unit/metrics/metrics_test_files.h"

namespace hetmoe {
namespace {

using Json = nlohmann::json;

std::set<std::string> keys_of(const Json& object) {
  std::set<std::string> keys;
  for (const auto& item : object.items()) keys.insert(item.key());
  return keys;
}

TEST(MetricsFile, WritesTrainingLinesWithTheFieldsOfTheContract) {
  const TemporaryFolder folder;
  MetricsFile file(folder.path() / "metrics.jsonl");
  file.write(StepRecord{.step = 7,
                        .tokens = 14336,
                        .loss = 5.25,
                        .parameter_penalty = 6.5,
                        .grad_norm = 0.1,
                        .learning_rate = 1e-3,
                        .step_seconds = 0.5,
                        .phase_seconds = {.data = 0.125, .other = 0.375},
                        .flops_max_over_mean = 1.0625,
                        .bytes = {2000000000, 3000000000, 6000000000, 7000000000, 4000000000},
                        .generation = 2,
                        .layer_flops_max_over_mean = {1.0, 1.125},
                        .expert_tokens = {10, 0, 30},
                        .rank_expert_flops = {1e9, 2e9},
                        .memory_bytes = 4096});
  const auto lines = lines_of(folder.path() / "metrics.jsonl");
  ASSERT_EQ(lines.size(), 1U);
  const Json line = Json::parse(lines[0]);
  EXPECT_EQ(keys_of(line), (std::set<std::string>{"step",
                                                  "generation",
                                                  "tokens",
                                                  "loss",
                                                  "aux",
                                                  "grad_norm",
                                                  "learning_rate",
                                                  "skipped",
                                                  "step_seconds",
                                                  "tokens_per_second",
                                                  "model_flops_per_second",
                                                  "phase_seconds",
                                                  "flops_max_over_mean",
                                                  "bytes_all_to_all",
                                                  "bytes_gradients",
                                                  "bytes_parameters",
                                                  "bytes_parameters_hidden",
                                                  "bytes_dispatch",
                                                  "bytes_combine",
                                                  "bytes_other_node",
                                                  "layer_flops_max_over_mean",
                                                  "expert_tokens",
                                                  "rank_expert_flops",
                                                  "memory_bytes",
                                                  "device_memory_bytes"}));
  EXPECT_EQ(keys_of(line["aux"]),
            (std::set<std::string>{"parameter_penalty", "load_balance", "router_entropy"}));
  EXPECT_EQ(keys_of(line["phase_seconds"]),
            (std::set<std::string>{"data", "forward", "dispatch_wait", "expert", "combine_wait",
                                   "backward", "gradients", "optimizer", "parameters", "other"}));
  EXPECT_EQ(line["step"], 7);
  EXPECT_EQ(line["generation"], 2);
  EXPECT_EQ(line["aux"]["parameter_penalty"], 6.5);
  EXPECT_EQ(line["grad_norm"], 0.1) << "numbers survive the round trip exactly";
  EXPECT_EQ(line["bytes_all_to_all"], 5000000000);
  EXPECT_EQ(line["bytes_gradients"], 6000000000);
  EXPECT_EQ(line["bytes_parameters"], 7000000000);
  EXPECT_EQ(line["bytes_parameters_hidden"], 4000000000);
  EXPECT_EQ(line["phase_seconds"]["other"], 0.375);
  EXPECT_EQ(line["bytes_combine"], 3000000000);
  EXPECT_EQ(line["expert_tokens"], Json({10, 0, 30}));
  EXPECT_EQ(line["rank_expert_flops"], Json({1e9, 2e9}));
}

TEST(MetricsFile, LeavesOutWhatManyRanksWouldMakeLongerThanTheRest) {
  const TemporaryFolder folder;
  MetricsFile file(folder.path() / "metrics.jsonl");
  for (const std::size_t ranks : {64U, 65U}) {
    file.write(StepRecord{.step = 1, .rank_expert_flops = std::vector<double>(ranks, 1.0)});
  }
  const auto lines = lines_of(folder.path() / "metrics.jsonl");
  EXPECT_EQ(Json::parse(lines[0])["rank_expert_flops"].size(), 64U);
  EXPECT_FALSE(Json::parse(lines[1]).contains("rank_expert_flops"));
}

TEST(MetricsFile, WritesEvaluationLinesWithTheFieldsOfTheContract) {
  const TemporaryFolder folder;
  MetricsFile file(folder.path() / "metrics.jsonl");
  file.write(EvaluationRecord{.step = 200, .loss = 4.5, .tokens = 65536, .bits_per_byte = 2.25});
  EXPECT_EQ(Json::parse(contents_of(folder.path() / "metrics.jsonl")),
            Json::parse(R"({"step":200,"generation":1,"eval_loss":4.5,"eval_tokens":65536,
                            "eval_bits_per_byte":2.25})"));
}

TEST(MetricsFile, WritesNonFiniteNumbersAsNull) {
  const TemporaryFolder folder;
  MetricsFile file(folder.path() / "metrics.jsonl");
  file.write(StepRecord{.step = 1,
                        .loss = std::numeric_limits<double>::quiet_NaN(),
                        .grad_norm = std::numeric_limits<double>::infinity()});
  const Json line = Json::parse(contents_of(folder.path() / "metrics.jsonl"));
  EXPECT_TRUE(line["loss"].is_null());
  EXPECT_TRUE(line["grad_norm"].is_null());
}

TEST(EventsFile, WritesTheFixedFieldsFirstAndThenItsOwn) {
  const TemporaryFolder folder;
  StillClock clock;
  clock.wall = 1795320617.25;  // date -u -d @1795320617 -Is
  EventsFile file(folder.path() / "events.jsonl", clock, 3, 2);
  file.write(Event::kSkippedStep, 12,
             {{"reason", std::string("loss")}, {"in_a_row", std::int64_t{2}}, {"norm", 0.5}});
  EXPECT_EQ(contents_of(folder.path() / "events.jsonl"),
            "{\"time\":\"2026-11-22T04:10:17.250Z\",\"generation\":2,\"step\":12,\"rank\":3,"
            "\"event\":\"skipped_step\",\"reason\":\"loss\",\"in_a_row\":2,\"norm\":0.5}\n");
}

TEST(EventsFile, SurvivesTextThatIsNotUtf8AndHoldsNewlines) {
  const TemporaryFolder folder;
  const StillClock clock;
  EventsFile file(folder.path() / "events.jsonl", clock, 0, 1);
  file.write(Event::kStopped, 1, {{"reason", std::string("\xff\xfe two\nlines \"quoted\"")}});
  const auto lines = lines_of(folder.path() / "events.jsonl");
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_TRUE(Json::accept(lines[0])) << lines[0];
}

TEST(EventsFile, RefusesAFieldThatHidesAFixedOne) {
  const TemporaryFolder folder;
  const StillClock clock;
  EventsFile file(folder.path() / "events.jsonl", clock, 0, 1);
  EXPECT_THROW(file.write(Event::kStarted, 0, {{"rank", std::int64_t{5}}}), InternalError);
  EXPECT_EQ(contents_of(folder.path() / "events.jsonl"), "");
}

TEST(EventsFile, NamesEveryEventOfTheContract) {
  std::set<std::string_view> names;
  for (int event = 0; event <= static_cast<int>(Event::kFinished); ++event) {
    names.insert(event_name(static_cast<Event>(event)));
  }
  EXPECT_EQ(names,
            (std::set<std::string_view>{"started", "rebalance", "save_begun", "save_committed",
                                        "save_failed", "save_slow", "command", "skipped_step",
                                        "watchdog", "rank_lost", "stopped", "finished"}));
}

TEST(EventsFile, TellsTheLargestGenerationPastTornAndForeignLines) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "events.jsonl";
  EXPECT_EQ(largest_generation(file), 0);
  put(file, "");
  EXPECT_EQ(largest_generation(file), 0);
  put(file,
      "{\"generation\":3,\"event\":\"started\"}\n"
      "{\"generation\":2,\"event\":\"stopped\"}\n"
      "\n[9]\n{\"generation\":\"9\"}\n{\"generation\":9.5}\n{\"generation\":-9}\n"
      "{\"generation\":1000000001}\n{\"generation\":18446744073709551615}\n\xff{\n"
      "{\"event\":\"started\",\"fields\":{\"generation\":9}}\n"
      "{\"generation\":9,\"eve");
  EXPECT_EQ(largest_generation(file), 3);
}

TEST(EventsFile, TellsTheGenerationOfItsEndHoweverLongItIs) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "events.jsonl";
  std::string text;
  while (text.size() < 3U << 20) text += "{\"generation\":4,\"event\":\"rebalance\"}\n";
  put(file, text + "{\"generation\":5}\n" + std::string(1000, 'x'));
  EXPECT_EQ(largest_generation(file), 5);
  put(file, std::string(3U << 20, '{'));
  EXPECT_EQ(largest_generation(file), 0);
}

TEST(EventsFile, WritesWhatTellsItsGeneration) {
  const TemporaryFolder folder;
  const StillClock clock;
  EventsFile(folder.path() / "events.jsonl", clock, 0, 7).write(Event::kStarted, 0);
  EXPECT_EQ(largest_generation(folder.path() / "events.jsonl"), 7);
}

}  // namespace
}  // namespace hetmoe
