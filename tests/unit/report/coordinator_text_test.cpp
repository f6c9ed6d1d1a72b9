#include "runtime/report/coordinator_text.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "runtime/report/rank_table.h"

namespace hetmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;

RankStatus rank_at(int rank, double step_seconds, double wait_seconds) {
  RankStatus status{.rank = rank, .joined = true, .host = "node1", .process = 4000 + rank};
  status.metrics_address = "node1:9100";
  status.silent_seconds = 0.4;
  status.last.step = 121;
  status.last.phase = "training";
  status.last.collective_sequence = 977;
  status.last.collective = "all_to_all";
  status.last.step_seconds = step_seconds;
  status.last.wait_seconds = wait_seconds;
  status.last.expert_flops = 3e9;
  status.last.memory_bytes = 812LL << 20;
  return status;
}

CoordinatorStatus training(int ranks) {
  CoordinatorStatus status;
  status.run = "tiny-a";
  status.generation = 3;
  status.ranks = ranks;
  status.uptime_seconds = 200;
  status.last_step.step = 120;
  status.last_step.generation = 2;
  status.last_step.tokens = 245760;
  status.last_step.loss = 4.125;
  status.last_step.step_seconds = 0.165;
  status.last_step.tokens_per_second = 12345;
  status.last_step.flops_max_over_mean = 1.0312;
  status.committed = {
      .member = {}, .step = 100, .bytes = 812LL << 20, .seconds = 1.234, .wall_seconds = 1000};
  for (int rank = 0; rank < ranks; ++rank) status.members.push_back(rank_at(rank, 0.2, 0.05));
  return status;
}

const RunSurroundings kSurroundings{.steps = 1500, .wall_seconds_now = 1200, .end = {}};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

/// Of the lines below the heading that begins with "rank".
std::vector<int> shown_ranks(const std::string& text) {
  const auto lines = lines_of(text);
  const auto heading = std::find_if(lines.begin(), lines.end(), [](const std::string& line) {
    return line.find("process") != std::string::npos;
  });
  std::vector<int> ranks;
  for (auto line = heading == lines.end() ? heading : heading + 1; line != lines.end(); ++line) {
    if (!line->starts_with("and ")) ranks.push_back(std::stoi(*line));
  }
  return ranks;
}

TEST(CoordinatorText, TellsWhatTheRunIsAtAndALinePerRank) {
  CoordinatorStatus status = training(2);
  status.prepared_step = 120;
  status.prepared_ranks = 1;
  status.commands = {{1, CommandKind::kSave, 80},
                     {2, CommandKind::kRebalance, 90},
                     {3, CommandKind::kStopAndRequeue, 0}};
  EXPECT_THAT(
      lines_of(coordinator_text(status, kSurroundings)),
      ElementsAre(
          "run          tiny-a, generation 3, 2 ranks",
          "step         120 of 1500, loss 4.1250, 12.3 k tokens/s, 165 ms a step, balance 1.03",
          "checkpoint   step 100, 812 MiB in 1.23 s, committed 3 min 20 s ago",
          "saving       step 120, written by 1 of 2 ranks",
          "commands     3 stop_and_requeue, waits", "coordinator  up 3 min 20 s", "",
          "rank  host   process  step  phase     step s  wait s  expert GFLOP/s   memory  last "
          "seen",
          "   0  node1     4000   121  training   0.200   0.050            20.0  812 MiB  0.4 s "
          "ago",
          "   1  node1     4001   121  training   0.200   0.050            20.0  812 MiB  0.4 s "
          "ago"));
}

TEST(CoordinatorText, RanksWithGpusHaveAColumnForTheirMemory) {
  CoordinatorStatus status = training(2);
  status.members[1].last.device_memory_bytes = 61LL << 30;
  const auto lines = lines_of(coordinator_text(status, kSurroundings));
  ASSERT_GE(lines.size(), 3U);
  EXPECT_THAT(lines[lines.size() - 3], HasSubstr("   memory  GPU memory  last seen"));
  EXPECT_THAT(lines[lines.size() - 2], HasSubstr("  812 MiB           -  "));
  EXPECT_THAT(lines.back(), HasSubstr("  812 MiB    61.0 GiB  "));
}

TEST(CoordinatorText, NobodyAndNothingYetIsSaid) {
  const std::string text = coordinator_text({.uptime_seconds = 2}, {});
  EXPECT_THAT(lines_of(text), ElementsAre("run          nobody has joined yet",
                                          "checkpoint   none committed", "coordinator  up 2.0 s"));
}

TEST(CoordinatorText, AfterARestartTheRunIsKnownAndItsRanksAreNot) {
  CoordinatorStatus status = training(0);
  status.ranks = 4;
  EXPECT_THAT(coordinator_text(status, kSurroundings),
              HasSubstr("tiny-a, generation 3, none of 4 ranks has joined"));
}

TEST(CoordinatorText, OfCommandsThoseThatWaitAreShownAndTheNewest) {
  CoordinatorStatus status = training(1);
  status.commands = {
      {7, CommandKind::kSave, 0}, {8, CommandKind::kStop, 50}, {9, CommandKind::kRebalance, 60}};
  const std::string text = coordinator_text(status, kSurroundings);
  EXPECT_THAT(text, HasSubstr("commands     7 save, waits\n"));
  EXPECT_THAT(text, HasSubstr("\n             9 rebalance, executed after step 60\n"));
  EXPECT_THAT(text, Not(HasSubstr("8 stop")));
}

TEST(CoordinatorText, NamesSilentBehindAndAbsentRanks) {
  CoordinatorStatus status = training(8);
  status.silent_ranks = {1, 4, 5, 6};
  status.behind_ranks = {2};
  status.members[2].last.collective_sequence = 970;
  status.members[7] = {.rank = 7};
  const std::string text = coordinator_text(status, kSurroundings);
  EXPECT_THAT(text, HasSubstr("7 of 8 ranks"));
  EXPECT_THAT(text, HasSubstr("silent       ranks 1, 4 to 6\n"));
  EXPECT_THAT(text, HasSubstr("behind       rank 2 at collective 970 (all_to_all)\n"));
  EXPECT_THAT(lines_of(text).back(), HasSubstr("not joined"));
}

TEST(CoordinatorText, ThirtyTwoRanksAreAllShown) {
  const std::string text = coordinator_text(training(32), kSurroundings);
  EXPECT_EQ(shown_ranks(text).size(), 32u);
  EXPECT_THAT(text, Not(HasSubstr("more ranks")));
}

TEST(CoordinatorText, OfMoreRanksOnlyThoseInNeedAndTheSlowest) {
  CoordinatorStatus status = training(1000);
  status.silent_ranks = {17};
  status.behind_ranks = {900};
  status.members[500] = {.rank = 500};
  // All take the same step; who waits least holds the others up.
  for (const int slow : {3, 30, 300, 301, 302, 303, 304, 999}) {
    status.members[static_cast<std::size_t>(slow)].last.wait_seconds = 0.001;
  }
  const std::string text = coordinator_text(status, kSurroundings);
  EXPECT_THAT(shown_ranks(text), ElementsAre(3, 17, 30, 300, 301, 302, 303, 304, 500, 900, 999));
  EXPECT_THAT(text, HasSubstr("\nand 989 more ranks (all: --json)\n"));
}

TEST(CoordinatorText, ManySilentRanksDoNotMakeALongTable) {
  CoordinatorStatus status = training(1000);
  for (int rank = 0; rank < 1000; rank += 2) status.silent_ranks.push_back(rank);
  const std::string text = coordinator_text(status, kSurroundings);
  EXPECT_EQ(shown_ranks(text).size(), 32u);
  EXPECT_THAT(text, HasSubstr("silent       ranks 0, 2, 4, 6, 8, 10, 12, 14 and 492 more\n"));
}

TEST(CoordinatorText, WhatRanksSendCannotSteerATerminal) {
  CoordinatorStatus status = training(1);
  status.run = "a\x1b[2J\nb";
  status.members[0].host = std::string(200, 'h') + "\x1b";
  status.members[0].last.phase = "\x1b[31m\xc3\xa9";
  status.behind_ranks = {0};
  status.members[0].last.collective = "x\r\x07";
  const std::string text = coordinator_text(status, kSurroundings);
  EXPECT_TRUE(std::all_of(text.begin(), text.end(), [](unsigned char byte) {
    return byte == '\n' || (byte >= 0x20 && byte < 0x7f);
  })) << text;
  EXPECT_THAT(text, HasSubstr("a?[2J?b"));
  for (const std::string& line : lines_of(text)) EXPECT_LE(line.size(), 120u) << line;
}

TEST(CoordinatorText, AnEndIsTold) {
  RunSurroundings run = kSurroundings;
  run.end = RunEnd{.code = 93, .reason = "stopped by a command"};
  EXPECT_THAT(coordinator_text(training(2), run),
              HasSubstr("\n             ended with code 93: stopped by a command\n"));
}

TEST(RanksText, JoinsNeighbours) {
  EXPECT_EQ(ranks_text({}), "");
  EXPECT_EQ(ranks_text({4}), "4");
  EXPECT_EQ(ranks_text({0, 1}), "0, 1");
  EXPECT_EQ(ranks_text({0, 1, 2, 9}), "0 to 2, 9");
  EXPECT_EQ(ranks_text({0, 2, 4, 5, 6}, 2), "0, 2 and 3 more");
}

TEST(CoordinatorJson, HoldsEveryFigureInOneLine) {
  CoordinatorStatus status = training(2);
  status.silent_ranks = {1};
  status.behind_ranks = {0};
  status.prepared_step = 120;
  status.prepared_ranks = 1;
  status.commands = {{4, CommandKind::kStop, 0}, {5, CommandKind::kSave, 110}};
  const std::string text = coordinator_json(status, kSurroundings);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  const Json found = Json::parse(text);
  const Json expected = Json::parse(R"({
    "reachable": true, "run": "tiny-a", "generation": 3, "ranks": 2, "steps": 1500,
    "uptime_seconds": 200.0, "silent_ranks": [1], "behind_ranks": [0], "exit": null,
    "committed": {"step": 100, "bytes": 851443712, "seconds": 1.234, "wall_seconds": 1000.0},
    "preparing": {"step": 120, "ranks": 1},
    "commands": [{"number": 4, "command": "stop", "executed_step": null},
                 {"number": 5, "command": "save", "executed_step": 110}]})");
  for (const auto& [name, value] : expected.items()) EXPECT_EQ(found.at(name), value) << name;
  EXPECT_EQ(found["last_step"]["step"], 120);
  EXPECT_EQ(found["last_step"]["loss"], 4.125);
  EXPECT_EQ(found["last_step"]["phase_seconds"]["forward"], 0.0);
  EXPECT_EQ(found["last_step"]["generation"], 2);
  ASSERT_EQ(found["members"].size(), 2u);
  EXPECT_EQ(found["members"][1], Json::parse(R"({
    "rank": 1, "joined": true, "host": "node1", "process": 4001, "metrics_address": "node1:9100",
    "silent_seconds": 0.4, "step": 121, "phase": "training", "collective_sequence": 977,
    "collective": "all_to_all", "step_seconds": 0.2, "expert_flops": 3e9, "wait_seconds": 0.05,
    "memory_bytes": 851443712, "device_memory_bytes": 0})"));
}

TEST(CoordinatorJson, WhatIsNotThereIsStepZeroOrNullAndALossThatIsNoNumberToo) {
  const Json empty = Json::parse(coordinator_json({}, {}));
  for (const char* name : {"last_step", "committed", "preparing"}) {
    EXPECT_EQ(empty.at(name).at("step"), 0) << name;
  }
  EXPECT_FALSE(empty["last_step"].contains("loss"));
  EXPECT_FALSE(empty["committed"].contains("bytes"));
  for (const char* name : {"steps", "exit"}) EXPECT_TRUE(empty.at(name).is_null()) << name;
  EXPECT_EQ(empty["members"], Json::array());
  EXPECT_EQ(empty["commands"], Json::array());
  CoordinatorStatus status = training(1);
  status.last_step.loss = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(Json::parse(coordinator_json(status, {}))["last_step"]["loss"].is_null());
}

TEST(CoordinatorJson, BytesThatAreNoTextDoNotBreakIt) {
  CoordinatorStatus status = training(1);
  status.members[0].host = "\xff\n\"";
  const std::string text = coordinator_json(status, {});
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  EXPECT_THAT(Json::parse(text)["members"][0]["host"].get<std::string>(), HasSubstr("\n\""));
}

const RunTail kTail{
    .metrics =
        {R"({"step":119,"generation":1,"loss":4.5,"step_seconds":0.165,"tokens_per_second":12345.0})",
         R"({"step":120,"generation":1,"loss":null,"step_seconds":0.1,"tokens_per_second":10})",
         R"({"step":120,"generation":1,"eval_loss":4.25,"eval_tokens":100})", R"({"step":121,"lo)"},
    .events = {R"({"time":"2026-11-22T04:10:17.250Z","generation":1,"step":100,"rank":0,)"
               R"("event":"save_committed","bytes":5,"reason":"a\u001b[2Jb"})",
               "[1]", ""}};

TEST(RunTailText, ReadsWhatIsWholeAndPassesOverTheRest) {
  EXPECT_THAT(
      lines_of(run_tail_text(kTail, {})),
      ElementsAre("metrics.jsonl:", "  step 119, loss 4.5000, 12.3 k tokens/s, 165 ms a step",
                  "  step 120, loss nan, 10 tokens/s, 100 ms a step",
                  "  step 120, held-out loss 4.2500", "events.jsonl:",
                  "  2026-11-22T04:10:17.250Z step 100 save_committed bytes=5 "
                  "reason=a?[2Jb"));
}

TEST(RunTailText, OfNothingIsNothing) { EXPECT_EQ(run_tail_text({}, {}), ""); }

TEST(RunTailText, AnEndComesFirst) {
  const RunSurroundings run{.end = RunEnd{.code = 0, .reason = ""}};
  EXPECT_THAT(lines_of(run_tail_text({}, run)), ElementsAre("ended with code 0"));
}

TEST(RunTailJson, HoldsTheLinesAsTheyStand) {
  const RunSurroundings run{.end = RunEnd{.code = 4, .reason = "rank 1 was lost"}};
  const std::string text = run_tail_json(kTail, run);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  const Json found = Json::parse(text);
  EXPECT_EQ(found["reachable"], false);
  ASSERT_EQ(found["metrics"].size(), 3u);
  EXPECT_EQ(found["metrics"][0], Json::parse(kTail.metrics[0]));
  ASSERT_EQ(found["events"].size(), 1u);
  EXPECT_EQ(found["events"][0], Json::parse(kTail.events[0]));
  EXPECT_EQ(found["exit"], Json::parse(R"({"code": 4, "reason": "rank 1 was lost"})"));
}

}  // namespace
}  // namespace hetmoe
