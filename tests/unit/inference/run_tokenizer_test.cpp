#include "runtime/inference/run_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/data/byte_tokenizer.h"
#include "core/data/shard_sidecar.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using testing::HasSubstr;

class RunTokenizer : public testing::Test {
 protected:
  RunTokenizer() {
    config_.data.train = folder_ / "train";
    config_.model.vocab_size = 257;
  }
  void write_sidecar(const std::string& name, const std::string& digest) const {
    folder_.write("train.json", to_json({.tokenizer_name = name,
                                         .vocab_size = 257,
                                         .tokenizer_digest = digest,
                                         .end_of_document = 256}));
  }
  template <typename E>
  std::string refusal(const std::string& given = "") const {
    return message_of<E>([&] { tokenizer_of_run(config_, given); });
  }

  TemporaryFolder folder_;
  RunConfig config_;
};

TEST_F(RunTokenizer, IsThatOfTheTrainingText) {
  write_sidecar("bytes", ByteTokenizer().digest());
  EXPECT_EQ(tokenizer_of_run(config_, "")->name(), "bytes");
}

TEST_F(RunTokenizer, MustHaveTheDigestThatTheTextWasMadeWith) {
  write_sidecar("bytes", "xxh3-128:00000000000000000000000000000000");
  EXPECT_THAT(refusal<StorageError>(), HasSubstr("was made with xxh3-128:0000"));
}

TEST_F(RunTokenizer, IsNamedWhereItIsMissing) {
  EXPECT_THAT(refusal<ConfigError>(), HasSubstr("train.json: not found"));
  write_sidecar("sentencepiece", "xxh3-128:00000000000000000000000000000000");
  EXPECT_THAT(refusal<StorageError>(), HasSubstr(folder_ / "tokenizer.model" + ": not found"));
  write_sidecar("huggingface", "xxh3-128:00000000000000000000000000000000");
  EXPECT_THAT(refusal<StorageError>(), HasSubstr(folder_ / "tokenizer.json" + ": not found"));
  config_.data.train = "random";
  EXPECT_THAT(refusal<ConfigError>(), HasSubstr("random"));
}

TEST_F(RunTokenizer, OfAMixtureOrAPatternIsThatOfItsFirstShard) {
  write_sidecar("bytes", ByteTokenizer().digest());
  config_.data.mixture = {config_.data.train, folder_ / "other"};
  config_.data.train.clear();
  EXPECT_EQ(tokenizer_of_run(config_, "")->name(), "bytes");
  config_.data.mixture.clear();
  folder_.write("train.idx", "not opened for its name");
  folder_.write("train.bin", "");
  for (const char* name : {"t*", "train.idx"}) {
    config_.data.train = folder_ / name;
    EXPECT_THAT(refusal<StorageError>(), HasSubstr("no error")) << name;
  }
}

TEST_F(RunTokenizer, MustEndDocumentsAsTheTextDoes) {
  folder_.write("train.json", to_json({.tokenizer_name = "bytes",
                                       .vocab_size = 257,
                                       .tokenizer_digest = ByteTokenizer().digest(),
                                       .end_of_document = 10}));
  EXPECT_THAT(refusal<StorageError>(), HasSubstr("documents end with token 256, those of " +
                                                 (folder_ / "train") + " with 10"));
}

TEST_F(RunTokenizer, CanBeGivenInstead) {
  config_.data.train = "random";
  EXPECT_EQ(tokenizer_of_run(config_, "bytes")->name(), "bytes");
  EXPECT_THAT(refusal<ConfigError>("no-such-file"), HasSubstr("no-such-file"));
}

TEST_F(RunTokenizer, MustFitIntoTheModelsVocabulary) {
  config_.model.vocab_size = 256;
  EXPECT_THAT(refusal<ConfigError>("bytes"), HasSubstr("257 tokens, allowed: at most"));
}

}  // namespace
}  // namespace hetmoe
