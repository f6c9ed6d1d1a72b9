#include "core/data/huggingface_tokenizer.h"

#include <gmock/gmock.h>

#include <cstdlib>

#include "core/base/error.h"
#include "core/data/prepare.h"
#include "core/data/token_shard.h"
#include "tests/support/temporary_folder.h"
#include "tokenizer_json.h"

namespace hetmoe {
namespace {

using nlohmann::ordered_json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

using Ids = std::vector<std::int32_t>;

/// An environment variable that children see for a while.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  ~Variable() { ::unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

class HuggingFace : public testing::Test {
 protected:
  std::string write(const ordered_json& json) const {
    return folder_.write("tokenizer.json", json.dump());
  }
  void write_beside(const std::string& name, const ordered_json& json) const {
    folder_.write(name, json.dump());
  }
  Ids ids(const ordered_json& json, const std::string& text) const {
    Ids out;
    HuggingFaceTokenizer(write(json)).encode(text, out);
    return out;
  }
  std::int32_t end_of_document() const {
    return HuggingFaceTokenizer(folder_ / "tokenizer.json").end_of_document();
  }
  std::string refusal() const {
    const auto message = message_of<StorageError>(
        [&] { HuggingFaceTokenizer tokenizer(folder_ / "tokenizer.json"); });
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    return message;
  }

  TemporaryFolder folder_;
  ordered_json json_ = small_tokenizer_json();
};

TEST_F(HuggingFace, MergesPairsInTheirOrder) {
  // a b a a b -> ab a ab -> aba ab
  EXPECT_THAT(ids(json_, "abaab"), ElementsAre(3, 2));
  EXPECT_THAT(ids(json_, "ba b"), ElementsAre(1, 0, 4, 1));
  EXPECT_THAT(ids(json_, ""), IsEmpty());
}

TEST_F(HuggingFace, ReadsBothSpellingsOfMerges) {
  json_["model"]["merges"] = {"a b", "ab a"};
  EXPECT_THAT(ids(json_, "abaab"), ElementsAre(3, 2));
}

TEST_F(HuggingFace, HasAsManyTokensAsItsLargestIdSays) {
  const HuggingFaceTokenizer tokenizer(write(json_));
  EXPECT_EQ(tokenizer.name(), "huggingface");
  EXPECT_EQ(tokenizer.vocab_size(), 10);
  EXPECT_EQ(tokenizer.end_of_document(), 9);
  EXPECT_FALSE(tokenizer.keeps_every_byte());
}

TEST_F(HuggingFace, EncodesManyTextsAsEachAlone) {
  HuggingFaceTokenizer tokenizer(write(json_));
  const std::vector<std::string_view> texts = {"ab", "", "abaab", "b"};
  std::vector<Ids> out;
  tokenizer.encode(texts, out);
  EXPECT_THAT(out, ElementsAre(Ids{2}, Ids{}, Ids{3, 2}, Ids{1}));
  tokenizer.encode(std::span<const std::string_view>(), out);
  EXPECT_THAT(out, IsEmpty());
}

TEST_F(HuggingFace, NeitherAddsNorCutsWhateverTheFileSays) {
  json_["truncation"] = {
      {"direction", "Right"}, {"max_length", 2}, {"strategy", "LongestFirst"}, {"stride", 0}};
  json_["padding"] = {{"strategy", {{"Fixed", 8}}},
                      {"direction", "Right"},
                      {"pad_to_multiple_of", nullptr},
                      {"pad_id", 0},
                      {"pad_type_id", 0},
                      {"pad_token", "a"}};
  const ordered_json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const ordered_json end = {{"SpecialToken", {{"id", "</s>"}, {"type_id", 0}}}};
  json_["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single", {end, text, end}},
      {"pair", {text, {{"Sequence", {{"id", "B"}, {"type_id", 1}}}}}},
      {"special_tokens", {{"</s>", {{"id", "</s>"}, {"ids", {9}}, {"tokens", {"</s>"}}}}}}};
  EXPECT_THAT(ids(json_, "abaab b"), ElementsAre(3, 2, 4, 1));
}

TEST_F(HuggingFace, TakesASpecialTokenThatStandsInTheTextForOne) {
  EXPECT_THAT(ids(json_, "ab</s>a"), ElementsAre(2, 9, 0));
}

TEST_F(HuggingFace, GivesTheTextOfAllButSpecialTokens) {
  HuggingFaceTokenizer tokenizer(write(json_));
  EXPECT_EQ(tokenizer.decode(Ids{3, 9, 4, 2, 9}), "aba ab");
  EXPECT_EQ(tokenizer.decode(Ids{}), "");
  EXPECT_EQ(tokenizer.decode(Ids{7}), "") << "an id that no token has";
  write_beside("tokenizer_config.json", {{"eos_token", "b"}});
  HuggingFaceTokenizer other(folder_ / "tokenizer.json");
  EXPECT_EQ(other.decode(Ids{3, 9, 1, 2, 1}), "abaab") << "neither a special token nor the end";
}

TEST_F(HuggingFace, RefusesBytesThatAreNotUtf8ByTextAndPlaceAndGoesOn) {
  HuggingFaceTokenizer tokenizer(write(json_));
  for (const std::string_view bad : {"ab\xFF", "ab\xED\xA0\x80", "ab\xC0\x80", "ab\xE2\x96"}) {
    const std::vector<std::string_view> texts = {"a", bad};
    std::vector<Ids> out;
    EXPECT_THAT(message_of<StorageError>([&] { tokenizer.encode(texts, out); }),
                HasSubstr("tokenizer.json: text 1 is not UTF-8 at byte 2"));
  }
  Ids out;
  tokenizer.encode("ab", out);
  EXPECT_THAT(out, ElementsAre(2));
}

TEST_F(HuggingFace, EndsDocumentsWithTheTokenNamedBesideIt) {
  write(json_);
  write_beside("generation_config.json", {{"eos_token_id", 1}});
  EXPECT_EQ(end_of_document(), 1);
  write_beside("generation_config.json", {{"eos_token_id", {3, 9}}});
  EXPECT_EQ(end_of_document(), 3);
  write_beside("special_tokens_map.json", {{"eos_token", {{"content", "b"}}}});
  EXPECT_EQ(end_of_document(), 1);
  write_beside("tokenizer_config.json", {{"eos_token", "ab"}});
  EXPECT_EQ(end_of_document(), 2);
  write_beside("tokenizer_config.json", {{"eos_token", nullptr}});
  EXPECT_EQ(end_of_document(), 1) << "null is no name";
}

TEST_F(HuggingFace, RefusesAnEndOfDocumentThatIsNotThere) {
  write(json_);
  write_beside("tokenizer_config.json", {{"eos_token", "<end>"}});
  EXPECT_THAT(refusal(), HasSubstr("tokenizer_config.json: the token that ends documents is "
                                   "\"<end>\", which is not in the vocabulary"));
  write_beside("tokenizer_config.json", {{"eos_token", 3.5}});
  EXPECT_THAT(refusal(), HasSubstr("is 3.5, which is not in the vocabulary"));
  folder_.write("tokenizer_config.json", "[]");
  EXPECT_THAT(refusal(), HasSubstr("tokenizer_config.json: not a JSON object"));
  folder_.write("tokenizer_config.json", "{");
  EXPECT_THAT(refusal(), HasSubstr("tokenizer_config.json: not JSON"));
}

TEST_F(HuggingFace, AsksForAnEndOfDocumentWhereNoneIsUsual) {
  json_["added_tokens"][0]["content"] = "<eos>";
  json_["model"]["vocab"]["<eos>"] = 9;
  json_["model"]["vocab"].erase("</s>");
  write(json_);
  EXPECT_THAT(refusal(), HasSubstr("tokenizer.json: no token ends documents: none of its special "
                                   "tokens is <|endoftext|> or </s>; name one as eos_token"));
  json_["added_tokens"][0]["content"] = "</s>";
  json_["model"]["vocab"] = small_tokenizer_json()["model"]["vocab"];
  json_["added_tokens"][0]["special"] = false;
  write(json_);
  EXPECT_THAT(refusal(), HasSubstr("no token ends documents")) << "not special";
}

TEST_F(HuggingFace, RefusesWhatWouldNotTokeniseTwiceTheSame) {
  json_["model"]["dropout"] = 0.5;
  write(json_);
  EXPECT_THAT(refusal(), HasSubstr("model.dropout is 0.5, must be null"));
}

TEST_F(HuggingFace, RefusesIdsThatTheLibraryWouldChange) {
  json_["model"]["vocab"].erase("</s>");
  write(json_);
  EXPECT_THAT(refusal(),
              HasSubstr("tokenizer.json: added token \"</s>\" has id 9, which the library "
                        "reads as 5"));
  json_["added_tokens"][0]["id"] = 5;
  json_["model"]["vocab"][" "] = 5;
  write(json_);
  EXPECT_THAT(refusal(), HasSubstr("tokenizer.json: id 5 stands for \" \" and \"</s>\""));
}

TEST_F(HuggingFace, RefusesAFileThatIsNoTokenizer) {
  for (const std::string text : {"{\"a\": ", "{\"eos_token\": \"</s>\"}", "{}", "", "\xFF"}) {
    folder_.write("tokenizer.json", text);
    EXPECT_THAT(refusal(), HasSubstr("tokenizer.json: not a tokenizer.json that tokenizers "))
        << text;
  }
  json_["model"]["merges"] = {"a b", "a unknown"};
  write(json_);
  EXPECT_THAT(refusal(), HasSubstr("not a tokenizer.json"));
}

TEST_F(HuggingFace, SaysWhatIsMissingToReadIt) {
  write(json_);
  {
    const Variable python("HETMOE_PYTHON", "/no/such/python");
    EXPECT_THAT(refusal(), HasSubstr("no Python at '/no/such/python'"));
  }
  const Variable packages("HETMOE_PYTHON_PACKAGES", "/no/such/folder");
  EXPECT_THAT(refusal(), HasSubstr("the Python package tokenizers is not usable in "
                                   "'/no/such/folder'"));
}

TEST_F(HuggingFace, IsKnownByItsContent) {
  const std::string text = json_.dump(2);
  for (const std::string& path :
       {folder_.write("any.name", text), folder_.write("spaces", "\n \t" + text),
        folder_.path().string() + "/tokenizer.json", folder_.path().string()}) {
    folder_.write("tokenizer.json", text);
    const auto tokenizer = make_tokenizer(path);
    EXPECT_EQ(tokenizer->name(), "huggingface") << path;
    EXPECT_EQ(tokenizer->vocab_size(), 10);
  }
}

TEST_F(HuggingFace, HasTheDigestOfItsFile) {
  const std::string digest = HuggingFaceTokenizer(write(json_)).digest();
  EXPECT_EQ(HuggingFaceTokenizer(folder_.write("copy", json_.dump())).digest(), digest);
  EXPECT_NE(HuggingFaceTokenizer(folder_.write("copy", json_.dump(1))).digest(), digest);
}

TEST_F(HuggingFace, MakesShardsThatLieBesideIt) {
  write(json_);
  const PrepareOptions options = {.inputs = {folder_.write("text", "abaab\n\nb\n\naba ab\n")},
                                  .out_directory = folder_ / "out",
                                  .tokenizer = folder_.path().string(),
                                  .end_of_document = "b",
                                  .valid_fraction = 0,
                                  .document_separator = "blank-line"};
  prepare(options);
  const TokenShard shard = TokenShard::open(folder_ / "out/train");
  Ids tokens(static_cast<std::size_t>(shard.num_tokens()));
  shard.read(0, tokens);
  EXPECT_THAT(tokens, ElementsAre(3, 2, 1, 1, 1, 3, 4, 2, 1));
  EXPECT_EQ(shard.sidecar()->tokenizer_name, "huggingface");
  EXPECT_EQ(shard.sidecar()->end_of_document, 1);
  EXPECT_EQ(contents_of(folder_ / "out/tokenizer.json"), json_.dump());
  const auto again = make_tokenizer(folder_ / "out");
  EXPECT_EQ(again->end_of_document(), 1);
  EXPECT_EQ(again->digest(), shard.sidecar()->tokenizer_digest);
}

TEST_F(HuggingFace, LeavesWithItsShards) {
  write(json_);
  PrepareOptions options = {.inputs = {folder_.write("text", "abaab\n")},
                            .out_directory = folder_ / "out",
                            .tokenizer = folder_.path().string(),
                            .end_of_document = "b",
                            .valid_fraction = 0};
  prepare(options);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "out/tokenizer_config.json"));
  options.overwrite = true;
  options.end_of_document = "";
  options.tokenizer = "bytes";
  prepare(options);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out/tokenizer.json"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out/tokenizer_config.json"));
}

}  // namespace
}  // namespace hetmoe
