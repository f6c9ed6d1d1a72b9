#include "runtime/watchdog/verdict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace hetmoe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Started {
  std::string communicator;
  int size;
  std::int64_t started;
};

RankReport report(int rank, const std::vector<Started>& communicators) {
  RankReport one;
  one.identity.rank = rank;
  one.idle_seconds = 9.26;
  for (const Started& state : communicators)
    one.communicators.push_back({state.communicator, state.size, state.started});
  return one;
}

RankReport waiting(RankReport report, const std::string& communicator, std::int64_t sequence,
                   double seconds) {
  report.wait = {communicator, "all_reduce", sequence, 5, seconds};
  return report;
}

TEST(Verdict, a_rank_without_a_report_is_missing) {
  const std::vector<RankReport> reports = {
      waiting(report(0, {{"control", 3, 7}}), "control", 7, 4),
      waiting(report(2, {{"control", 3, 7}}), "control", 7, 5)};
  const Verdict verdict = find_verdict(reports, 3);
  EXPECT_THAT(verdict.silent, ElementsAre(1));
  EXPECT_THAT(verdict.behind, IsEmpty());
  EXPECT_EQ(verdict_text(verdict, reports),
            "all_reduce number 7 on control in step 5 was waited for 5.0 s; no sign of life from "
            "rank 1");
}

TEST(Verdict, a_rank_that_computes_is_behind) {
  const std::vector<RankReport> reports = {waiting(report(0, {{"control", 2, 7}}), "control", 7, 4),
                                           report(1, {{"control", 2, 6}})};
  const Verdict verdict = find_verdict(reports, 2);
  EXPECT_THAT(verdict.silent, IsEmpty());
  EXPECT_THAT(verdict.behind, ElementsAre(1));
  EXPECT_THAT(verdict_text(verdict, reports),
              HasSubstr("; not there: rank 1 (in no collective for 9.3 s)"));
}

// Rank 0 waits longest, but for rank 1, which waits for rank 2.
TEST(Verdict, of_a_chain_of_waits_the_end_is_named) {
  const std::vector<Started> both = {{"control", 3, 7}, {"dispatch", 3, 20}};
  const std::vector<RankReport> reports = {
      waiting(report(0, {{"control", 3, 8}, {"dispatch", 3, 20}}), "control", 8, 40),
      waiting(report(1, both), "dispatch", 20, 30),
      report(2, {{"control", 3, 7}, {"dispatch", 3, 19}})};
  const Verdict verdict = find_verdict(reports, 3);
  EXPECT_THAT(verdict.behind, ElementsAre(2));
  EXPECT_THAT(find_verdict({reports[0], reports[1]}, 3).silent, ElementsAre(2));
}

TEST(Verdict, a_silent_rank_is_looked_for_where_a_member_has_not_reported) {
  // Rank 3 is silent; the group of ranks 0 and 1 is complete, and rank 1 will come when 2 does.
  const std::vector<RankReport> reports = {
      waiting(report(0, {{"group 0", 2, 9}, {"control", 4, 3}}), "group 0", 9, 50),
      waiting(report(1, {{"group 0", 2, 8}, {"control", 4, 4}}), "control", 4, 45),
      waiting(report(2, {{"group 1", 2, 9}, {"control", 4, 3}}), "group 1", 9, 40)};
  const Verdict verdict = find_verdict(reports, 4);
  EXPECT_THAT(verdict.silent, ElementsAre(3));
  EXPECT_THAT(verdict.wait.communicator, "control");
  EXPECT_THAT(verdict.behind, IsEmpty()) << "ranks 0 and 2 wait themselves";
}

TEST(Verdict, ranks_that_wait_for_one_another_are_named_with_what_they_wait_for) {
  const std::vector<RankReport> reports = {
      waiting(report(0, {{"control", 2, 5}, {"gradients", 2, 1}}), "control", 5, 40),
      waiting(report(1, {{"control", 2, 4}, {"gradients", 2, 2}}), "gradients", 2, 30)};
  const Verdict verdict = find_verdict(reports, 2);
  EXPECT_EQ(verdict.wait.communicator, "control");
  EXPECT_THAT(
      verdict_text(verdict, reports),
      HasSubstr("not there: rank 1 (waits for all_reduce number 2 on gradients in step 5)"));
}

TEST(Verdict, a_collective_that_all_have_come_to_blames_nobody) {
  const std::vector<RankReport> reports = {
      waiting(report(0, {{"control", 2, 7}}), "control", 7, 4),
      waiting(report(1, {{"control", 2, 7}}), "control", 7, 4)};
  const Verdict verdict = find_verdict(reports, 2);
  EXPECT_THAT(verdict.behind, IsEmpty());
  EXPECT_THAT(verdict_text(verdict, reports), HasSubstr("every rank has come to it"));
}

TEST(Verdict, reports_without_a_wait_are_no_reason_to_fail) {
  const std::vector<RankReport> reports = {report(1, {})};
  EXPECT_THAT(verdict_text(find_verdict(reports, 2), reports),
              HasSubstr("no rank that reported waits any more; no sign of life from rank 0"));
}

TEST(RanksText, names_eight_and_counts_the_rest) {
  EXPECT_EQ(ranks_text({4}), "rank 4");
  EXPECT_EQ(ranks_text({1, 3}), "ranks 1, 3");
  std::vector<int> many(20);
  std::iota(many.begin(), many.end(), 0);
  EXPECT_EQ(ranks_text(many), "ranks 0, 1, 2, 3, 4, 5, 6, 7, ... (20 in all)");
}

}  // namespace
}  // namespace hetmoe
