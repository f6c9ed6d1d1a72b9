#include "core/data/child_tokenizer.h"

#include <gmock/gmock.h>

#include "core/base/error.h"
#include "core/data/huggingface_tokenizer.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// A frame as printf writes it: a length below 256, then bytes; both with escapes of three digits.
std::string frame(const std::string& bytes) {
  std::string octal;
  const std::string length = {static_cast<char>(bytes.size()), 0, 0, 0};
  for (const char byte : length + bytes) {
    octal += {'\\', static_cast<char>('0' + (static_cast<unsigned char>(byte) >> 6)),
              static_cast<char>('0' + ((static_cast<unsigned char>(byte) >> 3) & 7)),
              static_cast<char>('0' + (static_cast<unsigned char>(byte) & 7))};
  }
  return "printf '" + octal + "'\n";
}

std::string number(std::int32_t value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

std::string greeting(std::int32_t vocab_size, std::int32_t end_of_document) {
  return frame("+" + number(vocab_size) + number(end_of_document) + '\0');
}

/// A child that says what a script says. The request for its greeting has five bytes.
class FakeChild : public testing::Test {
 protected:
  HuggingFaceTokenizer tokenizer(const std::string& script) const {
    const std::string program =
        folder_.write("program", "#!/bin/sh\nhead -c 5 >/dev/null\n" + script);
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
    return HuggingFaceTokenizer(folder_.write("file", "{}"), program);
  }
  std::string refusal(const std::string& script) const {
    return message_of<StorageError>([&] { tokenizer(script); });
  }
  /// What comes of encoding "ab" (15 bytes) with a vocabulary of 10.
  std::string encoding_fault(const std::string& script) const {
    return message_of<StorageError>([&] {
      auto child = tokenizer(greeting(10, 9) + "head -c 15 >/dev/null\n" + script);
      std::vector<std::int32_t> out;
      child.encode("ab", out);
      EXPECT_THAT(out, ElementsAre(7, 8));
    });
  }

  TemporaryFolder folder_;
};

TEST_F(FakeChild, IsBelievedWhereItMakesSense) {
  EXPECT_EQ(encoding_fault(frame("+" + number(2) + number(7) + number(8))), "no error");
}

TEST_F(FakeChild, MustHaveAVocabularyAndAnEndInIt) {
  const std::vector<std::pair<std::int32_t, std::int32_t>> bad = {
      {0, -1}, {-1, -1}, {1 << 25, 0}, {10, 10}, {10, -2}};
  for (const auto& [vocab_size, end] : bad) {
    EXPECT_THAT(refusal(greeting(vocab_size, end)),
                HasSubstr("file: has " + std::to_string(vocab_size) + " tokens, " +
                          std::to_string(end) + " ends documents, allowed: 1 to 16777216"));
  }
  EXPECT_THAT(refusal(greeting(10, -1)), HasSubstr("file: has no token that ends documents"));
}

TEST_F(FakeChild, MustAnswerInTheRightLength) {
  EXPECT_THAT(refusal(frame("")), HasSubstr("file: the tokenizer sent an empty reply"));
  EXPECT_THAT(refusal(frame("+")), HasSubstr("reply of 0 bytes is too short"));
  EXPECT_THAT(refusal(frame("+" + std::string(10, '\1'))), HasSubstr("of 10 bytes is too long"));
  EXPECT_THAT(encoding_fault(frame("+" + number(3) + number(7) + number(8))),
              HasSubstr("reply of 12 bytes is too short"));
  EXPECT_THAT(encoding_fault(frame("+" + number(-1) + number(7))), HasSubstr("is too short"));
  EXPECT_THAT(encoding_fault(frame("+" + number(1) + number(7) + number(8))),
              HasSubstr("reply of 12 bytes is too long"));
}

TEST_F(FakeChild, MustStayInItsVocabulary) {
  EXPECT_THAT(encoding_fault(frame("+" + number(1) + number(10))),
              HasSubstr("file: the tokenizer gave token 10 of 10"));
  EXPECT_THAT(encoding_fault(frame("+" + number(1) + number(-1))), HasSubstr("gave token -1"));
}

TEST_F(FakeChild, IsQuotedWhenItRefusesAndWhenItDies) {
  EXPECT_THAT(encoding_fault(frame("-no such thing")), HasSubstr("file: no such thing"));
  EXPECT_THAT(encoding_fault("echo out of luck >&2; exit 4"),
              HasSubstr("program' ended with code 4: out of luck"));
  EXPECT_THAT(encoding_fault("kill -9 $$"), HasSubstr("program' was killed by signal 9"));
}

}  // namespace
}  // namespace hetmoe
