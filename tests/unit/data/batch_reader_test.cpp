#include "core/data/batch_reader.h"

#include <gmock/gmock.h>

#include <array>
#include <memory>

#include "core/base/error.h"
#include "core/data/random_batch_reader.h"
#include "core/data/shard_batch_reader.h"
#include "core/data/token_shard.h"
#include "core/data/token_shard_writer.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

/// Token i of the corpus is i; documents of 3, 1, 5, 1 and 7 tokens.
std::shared_ptr<const TokenShard> counting_shard(const TemporaryFolder& folder) {
  TokenShardWriter writer(folder / "count", 100);
  std::int32_t token = 0;
  for (const int length : {3, 1, 5, 1, 7}) {
    std::vector<std::int32_t> document;
    for (int i = 0; i < length; ++i) document.push_back(token++);
    writer.append_document(document);
  }
  writer.finish({.tokenizer_name = "none", .vocab_size = 100, .tokenizer_digest = "none"});
  return std::make_shared<const TokenShard>(TokenShard::open(folder / "count"));
}

ShardReaderOptions four_at_a_time() {
  return {.seed = 3, .sequence_length = 4, .global_batch = 3, .vocab_size = 100};
}

TEST(ShardBatchReader, GivesWindowsOfTheCorpusWithTargetsOneAhead) {
  const TemporaryFolder folder;
  ShardBatchReader reader(counting_shard(folder), four_at_a_time());
  Batch batch;
  reader.read_sequential(1, 2, batch);
  EXPECT_EQ(batch.sequences, 2);
  EXPECT_EQ(batch.length, 4);
  EXPECT_THAT(batch.inputs, ElementsAre(4, 5, 6, 7, 8, 9, 10, 11));
  EXPECT_THAT(batch.targets, ElementsAre(5, 6, 7, 8, 9, 10, 11, 12));
  EXPECT_THAT(batch.document_begin, Each(0));
}

TEST(ShardBatchReader, MarksWhereTheDocumentOfEachPositionBegins) {
  const TemporaryFolder folder;
  ShardReaderOptions options = four_at_a_time();
  options.sequence_length = 16;
  options.attention_across_documents = false;
  ShardBatchReader reader(counting_shard(folder), options);
  Batch batch;
  reader.read_sequential(0, 1, batch);
  EXPECT_THAT(batch.document_begin,
              ElementsAre(0, 0, 0, 3, 4, 4, 4, 4, 4, 9, 10, 10, 10, 10, 10, 10));
  options.sequence_length = 8;
  ShardBatchReader shorter(counting_shard(folder), options);
  shorter.read_sequential(1, 1, batch);  // begins within the third document
  EXPECT_THAT(batch.document_begin, ElementsAre(0, 1, 2, 2, 2, 2, 2, 2));
}

TEST(ShardBatchReader, GivesEachRankItsPartOfTheSameGlobalBatch) {
  const TemporaryFolder folder;
  ShardBatchReader reader(counting_shard(folder), four_at_a_time());
  Batch whole;
  Batch part;
  for (std::int64_t step = 1; step <= 5; ++step) {
    reader.read(step, std::array<std::int64_t, 3>{0, 1, 2}, whole);
    reader.read(step, std::array<std::int64_t, 2>{2, 0}, part);
    const auto row = [](const Batch& batch, int r) {
      return std::vector<std::int32_t>(batch.inputs.begin() + 4 * r,
                                       batch.inputs.begin() + 4 * r + 4);
    };
    EXPECT_EQ(row(part, 0), row(whole, 2));
    EXPECT_EQ(row(part, 1), row(whole, 0));
  }
}

TEST(ShardBatchReader, GivesAnEmptyBatchToARankWithoutSequences) {
  const TemporaryFolder folder;
  ShardBatchReader reader(counting_shard(folder), four_at_a_time());
  Batch batch;
  reader.read(1, {}, batch);
  EXPECT_EQ(batch.sequences, 0);
  EXPECT_TRUE(batch.inputs.empty());
}

TEST(ShardBatchReader, ReusesTheMemoryOfTheBatch) {
  const TemporaryFolder folder;
  ShardBatchReader reader(counting_shard(folder), four_at_a_time());
  Batch batch;
  reader.read_sequential(0, 3, batch);
  const std::int32_t* memory = batch.inputs.data();
  reader.read_sequential(1, 2, batch);
  EXPECT_EQ(batch.inputs.data(), memory);
}

TEST(ShardBatchReader, RefusesAModelWithTooSmallAVocabulary) {
  const TemporaryFolder folder;
  ShardReaderOptions options = four_at_a_time();
  options.vocab_size = 99;
  const auto shard = counting_shard(folder);
  EXPECT_THAT(message_of<ConfigError>([&] { ShardBatchReader(shard, options); }),
              HasSubstr("model.vocab_size is 99, must be at least 100, the vocabulary of"));
  std::filesystem::remove(folder / "count.json");
  options.vocab_size = 10;
  const auto bare = std::make_shared<const TokenShard>(TokenShard::open(folder / "count"));
  ShardBatchReader reader(bare, options);
  Batch batch;
  reader.read_sequential(0, 2, batch);
  EXPECT_THAT(message_of<StorageError>([&] { reader.read_sequential(2, 1, batch); }),
              HasSubstr("count.bin: at byte 20: found token id 10, expected 0 to 9"));
}

TEST(RandomBatchReader, DependsOnSeedStepIndexAndPositionOnly) {
  RandomBatchReader first(1, 50, 6, 4);
  RandomBatchReader second(1, 50, 6, 4);
  Batch whole;
  Batch part;
  second.read(9, std::array<std::int64_t, 1>{0}, part);  // earlier reads leave no trace
  first.read(2, std::array<std::int64_t, 4>{0, 1, 2, 3}, whole);
  second.read(2, std::array<std::int64_t, 1>{3}, part);
  EXPECT_THAT(part.inputs, testing::ElementsAreArray(whole.inputs.end() - 6, whole.inputs.end()));
  EXPECT_THAT(whole.inputs, Each(testing::AllOf(testing::Ge(0), testing::Lt(50))));
  EXPECT_EQ(whole.inputs[1], whole.targets[0]);
  RandomBatchReader other(2, 50, 6, 4);
  other.read(2, std::array<std::int64_t, 1>{3}, part);
  EXPECT_THAT(part.inputs,
              testing::Not(testing::ElementsAreArray(whole.inputs.end() - 6, whole.inputs.end())));
}

TEST(RandomBatchReader, IsUniformOverTheVocabulary) {
  RandomBatchReader reader(1, 8, 1000, 80);
  std::vector<int> counts(8);
  Batch batch;
  reader.read_sequential(0, 80, batch);
  for (const std::int32_t token : batch.inputs) ++counts[static_cast<std::size_t>(token)];
  for (const int count : counts) EXPECT_NEAR(count, 10000, 500);  // five standard deviations
}

}  // namespace
}  // namespace hetmoe
