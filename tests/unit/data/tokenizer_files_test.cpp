#include "core/data/tokenizer_files.h"

#include <gmock/gmock.h>

#include "core/base/error.h"
#include "tests/support/temporary_folder.h"
#include "tokenizer_json.h"

namespace hetmoe {
namespace {

using nlohmann::ordered_json;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class TokenizerFilesOf : public testing::Test {
 protected:
  TokenizerFilesOf() { std::filesystem::create_directory(out()); }
  std::string out() const { return folder_ / "out"; }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(out())) {
      found.push_back(entry.path().filename().string());
    }
    return found;
  }
  std::string json_file() const {
    return folder_.write("given.json", small_tokenizer_json().dump());
  }

  TemporaryFolder folder_;
};

TEST_F(TokenizerFilesOf, ATokenizerJsonAreItAndWhatNamesItsEnd) {
  const std::string file = json_file();
  folder_.write("special_tokens_map.json", "{}");
  folder_.write("config.json", "{}");
  folder_.write("tokenizer.model", "of somebody else");
  put_tokenizer_files(file, "", out());
  EXPECT_EQ(contents_of(out() + "/tokenizer.json"), contents_of(file));
  EXPECT_THAT(names(), UnorderedElementsAre("tokenizer.json", "special_tokens_map.json"));
}

TEST_F(TokenizerFilesOf, AnotherEndAreAConfigurationThatNamesIt) {
  const std::string file = json_file();
  put_tokenizer_files(file, "ab", out());
  EXPECT_EQ(ordered_json::parse(contents_of(out() + "/tokenizer_config.json")),
            (ordered_json{{"eos_token", "ab"}}));
  folder_.write("tokenizer_config.json", R"({"eos_token": {"content": "x"}, "kept": [1]})");
  put_tokenizer_files(file, "ab", out());
  EXPECT_EQ(ordered_json::parse(contents_of(out() + "/tokenizer_config.json")),
            (ordered_json{{"eos_token", "ab"}, {"kept", {1}}}));
  folder_.write("tokenizer_config.json", "[]");
  EXPECT_THAT(message_of<StorageError>([&] { put_tokenizer_files(file, "ab", out()); }),
              HasSubstr("tokenizer_config.json: not a JSON object"));
}

TEST_F(TokenizerFilesOf, AModelIsTheModel) {
  folder_.write("tokenizer_config.json", "{}");
  put_tokenizer_files(folder_.write("a.model", "\n\x0E\nmodel"), "", out());
  EXPECT_THAT(names(), UnorderedElementsAre("tokenizer.model"));
}

TEST_F(TokenizerFilesOf, BytesOrAModelTakeNoOtherEnd) {
  const std::string model = folder_.write("a.model", "\n\x0E\nmodel");
  for (const std::string& tokenizer : {std::string("bytes"), model}) {
    EXPECT_THAT(message_of<ConfigError>([&] { put_tokenizer_files(tokenizer, "x", out()); }),
                HasSubstr("end of document is 'x', allowed with a tokenizer.json only"));
  }
  EXPECT_THAT(message_of<ConfigError>([&] { put_tokenizer_files(folder_ / "none", "", out()); }),
              HasSubstr("none', must be 'bytes' or the path of"));
  EXPECT_THAT(names(), IsEmpty());
}

TEST(TokenizerBeside, IsNamedByTheSidecar) {
  EXPECT_EQ(tokenizer_beside("a/b/train", "bytes"), "bytes");
  EXPECT_EQ(tokenizer_beside("a/b/train", "sentencepiece"), "a/b/tokenizer.model");
  EXPECT_EQ(tokenizer_beside("train", "huggingface"), "tokenizer.json");
  EXPECT_THAT(message_of<StorageError>([] { tokenizer_beside("train", "words"); }),
              HasSubstr("train.json: 'tokenizer' is 'words', expected bytes, sentencepiece"));
}

}  // namespace
}  // namespace hetmoe
