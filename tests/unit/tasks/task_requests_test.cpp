#include "runtime/tasks/task_requests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "core/base/error.h"
#include "core/data/byte_tokenizer.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Tokens = std::vector<std::int32_t>;

Tokens bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

Task task_of(const std::string& context, std::vector<std::string> texts) {
  TaskItem item{.line = 4};
  for (const std::string& text : texts) item.choices.push_back({context, text});
  return {.name = "t", .path = "t.jsonl", .items = {item}};
}

/// Knows the tokens of whole texts only: pieces may reach over the end of a context.
class ListedTokenizer final : public Tokenizer {
 public:
  explicit ListedTokenizer(std::map<std::string, Tokens> known) : known_(std::move(known)) {}
  std::string name() const override { return "listed"; }
  std::int64_t vocab_size() const override { return 100; }
  std::string digest() const override { return ""; }
  std::int32_t end_of_document() const override { return end_; }
  bool keeps_every_byte() const override { return false; }
  void encode(std::span<const std::string_view> texts, std::vector<Tokens>& out) override {
    out.clear();
    for (const std::string_view text : texts) out.push_back(known_.at(std::string(text)));
  }
  std::string decode(std::span<const std::int32_t>) override { return ""; }

  std::int32_t end_ = 9;

 private:
  std::map<std::string, Tokens> known_;
};

TEST(TaskRequests, AnswersFollowTheirContextAfterASpace) {
  ByteTokenizer tokenizer;
  const auto requests = encode_requests(task_of("ab", {"c", "de"}), tokenizer, 100);
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_EQ(requests[0].tokens, bytes_of("ab c"));
  EXPECT_EQ(requests[0].scored, 2);
  EXPECT_EQ(requests[1].tokens, bytes_of("ab de"));
  EXPECT_EQ(requests[1].scored, 3);
  EXPECT_FALSE(requests[1].cut);
}

TEST(TaskRequests, SpaceAtTheEndOfAContextBelongsToTheAnswer) {
  ByteTokenizer tokenizer;
  const auto requests = encode_requests(task_of("ab \n", {"c"}), tokenizer, 100);
  EXPECT_EQ(requests[0].tokens, bytes_of("ab \n c"));
  EXPECT_EQ(requests[0].scored, 4);
}

TEST(TaskRequests, ContextAndWholeAreEncodedEachByItself) {
  // The whole has pieces that reach over the context's end: as many tokens as the context has are
  // taken off, and the context's own come before the rest.
  ListedTokenizer tokenizer({{"ab", {1, 2}}, {"ab c", {5, 6, 7}}});
  const auto requests = encode_requests(task_of("ab", {"c"}), tokenizer, 100);
  EXPECT_THAT(requests[0].tokens, ElementsAre(1, 2, 7));
  EXPECT_EQ(requests[0].scored, 1);
}

TEST(TaskRequests, WithoutAContextADocumentHasEnded) {
  ByteTokenizer tokenizer;
  const Tokens expected = {256, ' ', 'c'};
  EXPECT_EQ(encode_requests(task_of("", {"c"}), tokenizer, 100)[0].tokens, expected);
  EXPECT_EQ(encode_requests(task_of("", {"c"}), tokenizer, 100)[0].scored, 2);
  EXPECT_EQ(encode_requests(task_of(" ", {"c"}), tokenizer, 100)[0].scored, 3);
  ListedTokenizer endless({{"", {}}, {" c", {1}}});
  endless.end_ = -1;
  EXPECT_THAT(message_of<ConfigError>([&] { encode_requests(task_of("", {"c"}), endless, 9); }),
              HasSubstr("t.jsonl: an item has no context"));
}

TEST(TaskRequests, LongOnesLoseTheirBeginning) {
  ByteTokenizer tokenizer;
  const Task task = task_of("abcdef", {"gh"});
  const auto tokens = [&](std::int64_t window) {
    const TaskRequest request = encode_requests(task, tokenizer, window)[0];
    EXPECT_EQ(request.scored, 3);
    EXPECT_EQ(request.cut, window < 8) << window;
    return request.tokens;
  };
  // The last token is predicted, not read: a window of 8 holds the nine.
  EXPECT_EQ(tokens(8), bytes_of("abcdef gh"));
  EXPECT_EQ(tokens(7), bytes_of("bcdef gh"));
  EXPECT_EQ(tokens(3), bytes_of("f gh"));
  EXPECT_EQ(message_of<ConfigError>([&] { encode_requests(task, tokenizer, 2); }),
            "t.jsonl: line 4: choice 0: 3 tokens, allowed: 2 (--max-length)");
}

TEST(TaskRequests, AnAnswerWithoutTokensIsRefused) {
  ListedTokenizer tokenizer({{"ab", {1, 2}}, {"ab c", {3}}, {"ab d", {1, 2, 3}}});
  EXPECT_EQ(message_of<StorageError>([&] {
              encode_requests(task_of("ab", {"d", "c"}), tokenizer, 9);
            }),
            "t.jsonl: line 4: choice 1: adds no token to its context");
}

TEST(TaskRequests, ManyItemsKeepTheirOrder) {
  ByteTokenizer tokenizer;
  Task task{.name = "t", .path = "t.jsonl"};
  for (int i = 0; i < 600; ++i) {
    task.items.push_back({.choices = {{std::to_string(i), "a"}, {std::to_string(i), "bc"}}});
  }
  const auto requests = encode_requests(task, tokenizer, 100);
  ASSERT_EQ(requests.size(), 1200U);
  for (int i = 0; i < 600; ++i) {
    EXPECT_EQ(requests[2 * i].tokens, bytes_of(std::to_string(i) + " a"));
    EXPECT_EQ(requests[2 * i + 1].tokens, bytes_of(std::to_string(i) + " bc"));
  }
}

}  // namespace
}  // namespace hetmoe
