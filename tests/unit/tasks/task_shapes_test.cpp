// The prompts of lm-evaluation-harness, written out by hand for one item of each shape.

#include "runtime/tasks/task_shapes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/base/error.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TaskItem item_of(TaskShape expected, const std::string& line) {
  const ItemFields fields(line);
  EXPECT_EQ(shape_of(fields), expected) << line;
  return make_item(expected, fields);
}

TEST(TaskShapes, HellaSwag) {
  const TaskItem item = item_of(
      TaskShape::kHellaSwag,
      R"({"activity_label": "Baking", "ctx_a": "A cook [header] opens an oven.", "ctx_b": "the COOK",)"
      R"( "ctx": "not looked at", "endings": ["pulls out  bread.", " [title] sings", "x [step] y", ""],)"
      R"( "label": "2"})");
  const std::string context = "Baking: A cook opens an oven. The cook";
  EXPECT_THAT(item.choices,
              ElementsAre(TaskChoice{context, "pulls out bread."},
                          TaskChoice{context, " sings"},  // stripped before the mark was taken out
                          TaskChoice{context, "x y"}, TaskChoice{context, ""}));
  EXPECT_EQ(item.answer, 2);
}

TEST(TaskShapes, HellaSwagMarksAreThoseOfOneLine) {
  const auto context = [](const std::string& text) {
    return item_of(TaskShape::kHellaSwag, R"({"activity_label": "L", "ctx": ")" + text +
                                              R"(", "endings": ["a", "b"], "label": 0})")
        .choices[0]
        .context;
  };
  EXPECT_EQ(context("One [title] two"), "L: One. two");
  EXPECT_EQ(context("a[b]c]d"), "L: ac]d");
  EXPECT_EQ(context("a[[b]c"), "L: ac");
  EXPECT_EQ(context("a[b\\nc]d [e]f"), "L: a[b\nc]d f");
  EXPECT_EQ(context("open [ended"), "L: open [ended");
  EXPECT_EQ(context("a   b"), "L: a  b");
  EXPECT_EQ(context("a [x]"), "L: a ");
}

TEST(TaskShapes, Piqa) {
  const TaskItem item =
      item_of(TaskShape::kPiqa,
              R"({"goal": "Dry a boot", "sol1": "Use sand", "sol2": "Use paper", "label": 1})");
  EXPECT_THAT(item.choices, ElementsAre(TaskChoice{"Question: Dry a boot\nAnswer:", "Use sand"},
                                        TaskChoice{"Question: Dry a boot\nAnswer:", "Use paper"}));
  EXPECT_EQ(item.answer, 1);
}

TEST(TaskShapes, ArcTakesAnswersByTheirLabels) {
  const TaskItem item =
      item_of(TaskShape::kArc,
              R"({"id": "x", "question": "What falls?", "choices": {"text": ["rain", "rock",)"
              R"( "dew"], "label": ["1", "2", "3"]}, "answerKey": "3"})");
  EXPECT_THAT(item.choices, ElementsAre(TaskChoice{"Question: What falls?\nAnswer:", "rain"},
                                        TaskChoice{"Question: What falls?\nAnswer:", "rock"},
                                        TaskChoice{"Question: What falls?\nAnswer:", "dew"}));
  EXPECT_EQ(item.answer, 2);
}

TEST(TaskShapes, OpenBookQaIsTheStemAlone) {
  const TaskItem item =
      item_of(TaskShape::kOpenBookQa,
              R"({"question_stem": "Frogs eat", "choices": {"text": ["flies", "iron"],)"
              R"( "label": ["A", "B"]}, "answerKey": " A"})");
  EXPECT_THAT(item.choices,
              ElementsAre(TaskChoice{"Frogs eat", "flies"}, TaskChoice{"Frogs eat", "iron"}));
  EXPECT_EQ(item.answer, 0);
}

TEST(TaskShapes, WinoGrandeAsksForTheSharedEnding) {
  const TaskItem item = item_of(
      TaskShape::kWinoGrande,
      R"({"sentence": "The cup hid the spoon as the _ was big_ger .", "option1": "cup", "option2": "spoon",)"
      R"( "answer": "2"})");
  EXPECT_THAT(item.choices,
              ElementsAre(TaskChoice{"The cup hid the spoon as the cup", "was big_ger ."},
                          TaskChoice{"The cup hid the spoon as the spoon", "was big_ger ."}));
  EXPECT_EQ(item.answer, 1);
}

TEST(TaskShapes, BoolQKnowsItsAnswerByEitherName) {
  const auto item = [](const std::string& answer) {
    return item_of(TaskShape::kBoolQ,
                   R"({"passage": "Tin melts.", "question": "does tin melt", )" + answer + "}");
  };
  EXPECT_THAT(item("\"label\": 1").choices,
              ElementsAre(TaskChoice{"Tin melts.\nQuestion: does tin melt?\nAnswer:", "no"},
                          TaskChoice{"Tin melts.\nQuestion: does tin melt?\nAnswer:", "yes"}));
  EXPECT_EQ(item("\"label\": 1").answer, 1);
  EXPECT_EQ(item("\"label\": 0").answer, 0);
  EXPECT_EQ(item("\"answer\": true").answer, 1);
  EXPECT_EQ(item("\"answer\": false").answer, 0);
}

TEST(TaskShapes, SocialIqaCountsItsAnswersFromOne) {
  const TaskItem item =
      item_of(TaskShape::kSocialIqa,
              R"({"context": "Ann fell.", "question": "How is Ann?", "answerA": "hurt",)"
              R"( "answerB": "tall", "answerC": "rich", "label": "1"})");
  EXPECT_THAT(item.choices, ElementsAre(TaskChoice{"Q: Ann fell. How is Ann?\nA:", "hurt"},
                                        TaskChoice{"Q: Ann fell. How is Ann?\nA:", "tall"},
                                        TaskChoice{"Q: Ann fell. How is Ann?\nA:", "rich"}));
  EXPECT_EQ(item.answer, 0);
}

TEST(TaskShapes, PlainItemsAreTakenAsTheyStand) {
  const TaskItem item = item_of(
      TaskShape::kPlain, R"({"context": " Two and ", "choices": ["two", " three"], "answer": 1})");
  EXPECT_THAT(item.choices,
              ElementsAre(TaskChoice{" Two and ", "two"}, TaskChoice{" Two and ", " three"}));
  EXPECT_EQ(item.answer, 1);
}

TEST(TaskShapes, OtherFieldsAreNone) {
  EXPECT_EQ(shape_of(ItemFields(R"({"text": "a"})")), std::nullopt);
  EXPECT_EQ(shape_of(ItemFields("{}")), std::nullopt);
}

TEST(TaskShapes, RefusalsNameTheFieldWhatItHoldsAndWhatIsAllowed) {
  const auto says = [](TaskShape shape, const std::string& line) {
    return message_of<StorageError>([&] { make_item(shape, ItemFields(line)); });
  };
  const std::string endings = R"("activity_label": "a", "ctx": "b", "endings": ["x", "y"])";
  const TaskShape swag = TaskShape::kHellaSwag;
  EXPECT_EQ(says(swag, "{" + endings + "}"), "label is missing");
  EXPECT_EQ(says(swag, "{" + endings + R"(, "label": 2})"), "label 2, allowed: 0 to 1");
  EXPECT_EQ(says(swag, "{" + endings + R"(, "label": ""})"), "label \"\", allowed: 0 to 1");
  EXPECT_EQ(says(swag, "{" + endings + R"(, "label": -1})"), "label -1, allowed: 0 to 1");
  EXPECT_EQ(says(swag, "{" + endings + R"(, "label": 18446744073709551615})"),
            "label 18446744073709551615, allowed: 0 to 1");
  EXPECT_EQ(says(swag, "{" + endings + R"(, "label": 1.0})"), "label 1.0, allowed: 0 to 1");
  EXPECT_EQ(says(swag, R"({"activity_label": 3, "ctx": "b", "endings": ["x", "y"], "label": 0})"),
            "activity_label 3, allowed: a text");
  EXPECT_EQ(says(swag, R"({"activity_label": "a", "ctx": "b", "endings": ["x"], "label": 0})"),
            "endings holds 1, allowed: 2 to 100");
  EXPECT_EQ(says(swag, R"({"activity_label": "a", "ctx": "b", "endings": ["x", 1], "label": 0})"),
            "endings [\"x\",1], allowed: a list of texts");
  const TaskShape arc = TaskShape::kArc;
  EXPECT_EQ(says(arc, R"({"question": "q", "answerKey": "A", "choices": ["x", "y"]})"),
            "choices [\"x\",\"y\"], allowed: an object that holds text");
  EXPECT_EQ(says(arc, R"({"question": "q", "answerKey": "A", "choices": {"text": ["x", "y"]}})"),
            "choices.label is missing");
  EXPECT_EQ(
      says(
          arc,
          R"({"question": "q", "answerKey": "A", "choices": {"text": ["x", "y"], "label": ["A"]}})"),
      "choices.label holds 1, allowed: as many as choices.text, 2");
  EXPECT_EQ(
      says(
          arc,
          R"({"question": "q", "answerKey": "C\n", "choices": {"text": ["x", "y"], "label": ["A", "B"]}})"),
      "answerKey \"C\\n\", allowed: one of choices.label");
  EXPECT_EQ(says(TaskShape::kWinoGrande,
                 R"({"sentence": "no blank", "option1": "a", "option2": "b", "answer": "1"})"),
            "sentence without _, where an option belongs");
  EXPECT_EQ(says(TaskShape::kBoolQ, R"({"passage": "p", "question": "q", "answer": "yes"})"),
            "answer \"yes\", allowed: true or false");
}

TEST(TaskShapes, WhatIsNoObjectIsRefused) {
  const auto says = [](const std::string& line) {
    return message_of<StorageError>([&] { ItemFields fields(line); });
  };
  EXPECT_EQ(says("{"), "not JSON");
  EXPECT_EQ(says("{\"a\": \"\xff\"}"), "not JSON");  // not UTF-8
  EXPECT_EQ(says("[1]"), "found [1], allowed: a JSON object");
  EXPECT_THAT(says(std::string(100000, '[')), HasSubstr("not JSON"));
}

}  // namespace
}  // namespace hetmoe
