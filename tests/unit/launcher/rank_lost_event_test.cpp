#include "launcher/rank_lost_event.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

const Verdict kLost{ExitCode::kCommunication, "rank 1 is gone"};

nlohmann::json recorded_after(const std::string& metrics) {
  const TemporaryFolder folder;
  folder.write("events.jsonl", "{\"event\": \"started\"}\n");
  if (!metrics.empty()) folder.write("metrics.jsonl", metrics);
  record_rank_lost(folder.path(), kLost, 3);
  const std::string text = contents_of(folder / "events.jsonl");
  EXPECT_EQ(text.back(), '\n');
  return nlohmann::json::parse(text.substr(text.find('\n') + 1));
}

TEST(RankLostEvent, NamesTheLastStepThatWasRecordedWhole) {
  const auto event = recorded_after(
      "{\"generation\": 2, \"step\": 17}\n{\"generation\": 2, \"step\": 18}\n{\"generation\": 2,");
  EXPECT_EQ(event["event"], "rank_lost");
  EXPECT_EQ(event["step"], 18);
  EXPECT_EQ(event["generation"], 2);
  EXPECT_EQ(event["rank"], -1);
  EXPECT_EQ(event["code"], 4);
  EXPECT_EQ(event["reason"], "rank 1 is gone");
  EXPECT_EQ(event["restart"], 3);
}

TEST(RankLostEvent, SaysStepZeroWhenNoStepWasRecorded) {
  for (const char* metrics :
       {"", "\n", "{\"step\": 1", "no line\n", "[1]\n", "{\"step\": \"x\"}\n"}) {
    const auto event = recorded_after(metrics);
    EXPECT_EQ(event["step"], 0) << metrics;
    EXPECT_EQ(event["generation"], 1) << metrics;
  }
}

TEST(RankLostEvent, LeavesAFolderAloneInWhichNoRunBegan) {
  const TemporaryFolder folder;
  record_rank_lost(folder.path(), kLost, 1);
  record_rank_lost(folder.path() / "none", kLost, 1);
  EXPECT_TRUE(folder.names().empty());
}

}  // namespace
}  // namespace hetmoe
