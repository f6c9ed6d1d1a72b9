#include "runtime/tasks/task_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/base/error.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using testing::HasSubstr;

const std::string kItem = R"({"context": "a", "choices": ["b", "c"], "answer": 1})";

class TaskFile : public testing::Test {
 protected:
  std::string refusal(const std::string& contents) const {
    const std::string path = folder_.write("task.jsonl", contents);
    const std::string text = message_of<StorageError>([&] { read_task(path); });
    EXPECT_TRUE(text.starts_with(path + ": ")) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
    return text.substr(std::min(text.size(), path.size() + 2));
  }

  TemporaryFolder folder_;
};

TEST_F(TaskFile, HoldsAnItemALine) {
  // An empty line, an end of line as on Windows, and none at the end.
  const Task task = read_task(folder_.write("small.task.jsonl", kItem + "\r\n \n" + kItem));
  EXPECT_EQ(task.name, "small.task");
  EXPECT_EQ(task.path, folder_ / "small.task.jsonl");
  EXPECT_EQ(task.shape, TaskShape::kPlain);
  ASSERT_EQ(task.items.size(), 2U);
  EXPECT_EQ(task.items[0].line, 1);
  EXPECT_EQ(task.items[1].line, 3);
  EXPECT_EQ(task.items[1].answer, 1);
}

TEST_F(TaskFile, FaultsAreNamedWithTheirLine) {
  EXPECT_EQ(refusal(kItem + "\n\n{"), "line 3: not JSON");
  EXPECT_EQ(refusal(kItem + "\n" + R"({"context": "a", "choices": ["b", "c"], "answer": 2})"),
            "line 2: answer 2, allowed: 0 to 1");
  EXPECT_THAT(refusal(R"({"text": "a"})"),
              HasSubstr("line 1: the fields are of no known task, allowed: those of HellaSwag"));
}

TEST_F(TaskFile, AllLinesHaveTheShapeOfTheFirst) {
  EXPECT_EQ(refusal(kItem + "\n" + R"({"goal": "g", "sol1": "a", "sol2": "b", "label": 0})"),
            "line 2: choices is missing");
}

TEST_F(TaskFile, EmptyAndOverlongOnesAreRefused) {
  EXPECT_EQ(refusal(""), "holds no item, allowed: JSON lines");
  EXPECT_EQ(refusal("\n \n"), "holds no item, allowed: JSON lines");
  EXPECT_EQ(refusal("{\"context\": \"" + std::string(1 << 20, 'a') + "\"}"),
            "line 1: 1048591 bytes, allowed: 1048576");
  EXPECT_THAT(message_of<StorageError>([&] { read_task(folder_ / "missing.jsonl"); }),
              HasSubstr("missing.jsonl"));
  EXPECT_THAT(message_of<StorageError>([&] { read_task(folder_.path().string()); }),
              HasSubstr(folder_.path().string()));
}

}  // namespace
}  // namespace hetmoe
