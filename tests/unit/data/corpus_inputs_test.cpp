#include "core/data/corpus_inputs.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "core/base/error.h"
#include "tests/support/compressed_bytes.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class CorpusInputs : public testing::Test {
 protected:
  InputFormat format_of(const std::string& contents, const InputOptions& options = {}) {
    return list_inputs({folder_.write("file", contents)}, options).at(0).format;
  }

  TemporaryFolder folder_;
};

TEST_F(CorpusInputs, AreJsonLinesIfTheFirstLineIsAnObject) {
  EXPECT_EQ(format_of("{\"text\": \"a\"}\nanything"), InputFormat::kJsonLines);
  EXPECT_EQ(format_of("\n \n  {\"text\": \"a\"}"), InputFormat::kJsonLines);
  EXPECT_EQ(format_of("\xEF\xBB\xBF{\"text\": \"a\"}\n"), InputFormat::kJsonLines);
  EXPECT_EQ(format_of(test::gzip_bytes("{\"text\": \"a\"}\n")), InputFormat::kJsonLines);
  EXPECT_EQ(format_of(test::zstd_bytes("{\"text\": \"a\"}\n")), InputFormat::kJsonLines);
  EXPECT_EQ(format_of("{\"text\": \"" + std::string(300000, 'a') + "\"}"), InputFormat::kJsonLines);
  EXPECT_EQ(format_of("{\"body\": \"a\"}", {.json_field = "body"}), InputFormat::kJsonLines);
}

TEST_F(CorpusInputs, AreTextOtherwise) {
  EXPECT_EQ(format_of(""), InputFormat::kText);
  EXPECT_EQ(format_of("\n\n"), InputFormat::kText);
  EXPECT_EQ(format_of("{ return 0; }"), InputFormat::kText);
  EXPECT_EQ(format_of("[1, 2]"), InputFormat::kText);
  EXPECT_EQ(format_of("text\n{\"text\": \"a\"}"), InputFormat::kText);
}

TEST_F(CorpusInputs, AreWhatTheOptionsSay) {
  EXPECT_EQ(format_of("{\"text\": \"a\"}", {.format = "text"}), InputFormat::kText);
  EXPECT_EQ(format_of("text", {.format = "json-lines"}), InputFormat::kJsonLines);
  EXPECT_THAT(message_of<ConfigError>([&] { format_of("", {.format = "csv"}); }),
              HasSubstr("input format is 'csv', must be auto, text or json-lines"));
}

TEST_F(CorpusInputs, AreNotTakenForTextWhenOnlyTheFieldIsMissing) {
  EXPECT_THAT(message_of<ConfigError>([&] { format_of("{\"body\": \"a\"}"); }),
              HasSubstr("first one has no field 'text': --json-field names another field"));
  EXPECT_EQ(format_of("{\"body\": \"a\"}", {.skip_invalid = true}), InputFormat::kJsonLines);
}

TEST_F(CorpusInputs, StandInFoldersByName) {
  std::filesystem::create_directories(folder_ / "in/b");
  std::filesystem::create_directories(folder_ / "in/.git");
  for (const char* name : {"in/c", "in/a", "in/b/z", "in/b/y", "in/.hidden", "in/.git/x", "last"}) {
    folder_.write(name, "text");
  }
  std::vector<std::string> paths;
  for (const auto& input : list_inputs({folder_ / "last", folder_ / "in"}, {})) {
    paths.push_back(std::filesystem::relative(input.path, folder_.path()));
    EXPECT_EQ(input.size_bytes, 4);
  }
  EXPECT_THAT(paths, ElementsAre("last", "in/a", "in/b/y", "in/b/z", "in/c"));
}

TEST_F(CorpusInputs, AreRefusedByName) {
  const auto message = [](const std::string& path) {
    return message_of<StorageError>([&] { list_inputs({path}, {}); });
  };
  std::filesystem::create_directories(folder_ / "empty");
  EXPECT_THAT(message(folder_ / "empty"), HasSubstr("empty' holds no file"));
  EXPECT_THAT(message(folder_ / "none"), HasSubstr("none': No such file"));
  EXPECT_THAT(message("/dev/null"), HasSubstr("is neither a file nor a folder"));
}

}  // namespace
}  // namespace hetmoe
