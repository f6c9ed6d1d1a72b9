// By hand; standard errors are those of statistics.stdev(...) / sqrt(n) in Python.

#include "runtime/tasks/task_scores.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace hetmoe {
namespace {

TaskItem item_of(std::int64_t answer, std::vector<std::string> texts) {
  TaskItem item{.answer = answer};
  for (const std::string& text : texts) item.choices.push_back({"", text});
  return item;
}

TEST(TaskScores, LongAnswersWinWhenTheirLengthIsDividedOut) {
  // -3 and -4; per character -1.5 and -1; per byte -0.5 and -1.
  const Task task{.items = {item_of(0, {"\u20ac\u20ac", "abcd"})}};
  const TaskScore scored = score(task, std::vector{-3.0, -4.0});
  EXPECT_EQ(scored.plain.mean, 1);
  EXPECT_EQ(scored.per_character.mean, 0);
  EXPECT_EQ(scored.per_byte.mean, 1);
  EXPECT_FALSE(scored.plain.standard_error.has_value());
}

TEST(TaskScores, OfEqualOnesTheFirstCounts) {
  const Task task{.items = {item_of(0, {"a", "b", "c"}), item_of(1, {"a", "b", "c"})}};
  const TaskScore scored = score(task, std::vector{-2.0, -1.0, -1.0, -2.0, -1.0, -1.0});
  EXPECT_EQ(scored.plain.mean, 0.5);
  EXPECT_EQ(scored.per_character.mean, 0.5);
}

TEST(TaskScores, AnEmptyAnswerComesLastWhereLengthsAreDividedOut) {
  const Task task{.items = {item_of(1, {"", "abc"})}};
  const TaskScore scored = score(task, std::vector{-0.5, -300.0});
  EXPECT_EQ(scored.plain.mean, 0);
  EXPECT_EQ(scored.per_character.mean, 1);
  EXPECT_EQ(scored.per_byte.mean, 1);
}

TEST(TaskScores, StandardErrorIsThatOfTheMean) {
  Task task;
  std::vector<double> log_likelihoods;
  for (int i = 0; i < 5; ++i) {
    task.items.push_back(item_of(i < 2 ? 0 : 1, {"a", "b"}));
    log_likelihoods.insert(log_likelihoods.end(), {-1.0, -2.0});
  }
  const TaskScore scored = score(task, log_likelihoods);
  EXPECT_EQ(scored.plain.mean, 0.4);
  ASSERT_TRUE(scored.plain.standard_error.has_value());
  EXPECT_NEAR(*scored.plain.standard_error, 0.24494897427831783, 1e-15);  // 1, 1, 0, 0, 0
}

TEST(TaskScores, ItemsMayHaveDifferentlyManyChoices) {
  const Task task{.items = {item_of(2, {"a", "b", "c"}), item_of(1, {"a", "b"})}};
  EXPECT_EQ(score(task, std::vector{-3.0, -2.0, -1.0, -2.0, -1.0}).plain.mean, 1);
}

}  // namespace
}  // namespace hetmoe
