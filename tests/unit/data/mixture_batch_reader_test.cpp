#include "core/data/mixture_batch_reader.h"

#include <gmock/gmock.h>

#include <array>
#include <cstdint>
#include <map>
#include <numeric>
#include <set>

#include "core/base/error.h"
#include "core/data/open_source.h"
#include "flat_file.h"

namespace hetmoe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::int64_t kLength = 4;
constexpr std::int64_t kGlobalBatch = 6;

/// Windows of `count` of them, none of which is another's: ids rise from `first`.
std::shared_ptr<const TokenSource> rising(const TemporaryFolder& folder, const std::string& name,
                                          std::int64_t first, std::int64_t windows) {
  std::vector<std::int64_t> tokens(static_cast<std::size_t>(windows * kLength + 1));
  std::iota(tokens.begin(), tokens.end(), first);
  return open_token_source(folder.write(name, gpt2_file(tokens).bytes()));
}

ShardReaderOptions options_of(std::int64_t global_batch = kGlobalBatch) {
  return {.seed = 3, .sequence_length = kLength, .global_batch = global_batch, .vocab_size = 50257};
}

class Mixture : public testing::Test {
 protected:
  TemporaryFolder folder_;
  std::vector<WeightedSource> sources_ = {{rising(folder_, "a", 1000, 50), 5},
                                          {rising(folder_, "b", 2000, 7), 1},
                                          {rising(folder_, "c", 3000, 20), 2}};

  MixtureBatchReader reader(std::int64_t global_batch = kGlobalBatch) const {
    return {sources_, options_of(global_batch)};
  }
};

/// The first token of each sequence of the steps, in order.
std::vector<std::int32_t> first_tokens(BatchReader& reader, std::int64_t first_step,
                                       std::int64_t last_step, std::int64_t global_batch) {
  std::vector<std::int64_t> all(static_cast<std::size_t>(global_batch));
  std::iota(all.begin(), all.end(), 0);
  std::vector<std::int32_t> tokens;
  Batch batch;
  for (std::int64_t step = first_step; step <= last_step; ++step) {
    reader.read(step, all, batch);
    for (std::int64_t row = 0; row < batch.sequences; ++row) {
      tokens.push_back(batch.inputs[static_cast<std::size_t>(row * kLength)]);
    }
  }
  return tokens;
}

TEST_F(Mixture, GivesOfEachSourceWhatItWouldGiveAlone) {
  MixtureBatchReader mixed = reader();
  std::map<std::int32_t, std::vector<std::int32_t>> of_source;
  for (const std::int32_t token : first_tokens(mixed, 1, 40, kGlobalBatch)) {
    of_source[token / 1000 - 1].push_back(token);
  }
  EXPECT_EQ(of_source[0].size(), 150U);
  EXPECT_EQ(of_source[1].size(), 30U);
  EXPECT_EQ(of_source[2].size(), 60U);
  for (const auto& [source, tokens] : of_source) {
    ShardBatchReader alone(sources_[static_cast<std::size_t>(source)].source, options_of());
    std::vector<std::int32_t> expected = first_tokens(alone, 1, 25, kGlobalBatch);
    expected.resize(tokens.size());
    EXPECT_EQ(tokens, expected) << source;
  }
}

TEST_F(Mixture, WalksTheEpochsOfASmallSourceInOrdersOfTheirOwn) {
  MixtureBatchReader mixed = reader();
  std::vector<std::int32_t> small;
  for (const std::int32_t token : first_tokens(mixed, 1, 40, kGlobalBatch)) {
    if (token / 1000 == 2) small.push_back(token);
  }
  const auto epoch = [&](std::ptrdiff_t which) {
    return std::vector<std::int32_t>(small.begin() + 7 * which, small.begin() + 7 * which + 7);
  };
  for (std::ptrdiff_t which = 0; which < 4; ++which) {
    const std::vector<std::int32_t> seen = epoch(which);
    EXPECT_EQ(std::set(seen.begin(), seen.end()).size(), 7U) << which;
  }
  EXPECT_NE(epoch(0), epoch(1));
}

TEST_F(Mixture, GivesWholeSequencesWithTargetsOneAhead) {
  MixtureBatchReader mixed = reader();
  Batch batch;
  mixed.read(1, std::array<std::int64_t, 6>{0, 1, 2, 3, 4, 5}, batch);
  for (std::size_t i = 0; i < batch.inputs.size(); ++i) {
    EXPECT_EQ(batch.targets[i], batch.inputs[i] + 1);
    EXPECT_EQ(batch.inputs[i], batch.inputs[i - i % kLength] + static_cast<int>(i % kLength));
  }
}

TEST_F(Mixture, GivesEachRankItsPartOfTheSameGlobalBatch) {
  MixtureBatchReader all = reader();
  MixtureBatchReader one_of_three = reader();
  Batch part;
  for (std::int64_t step = 1; step <= 30; ++step) {
    const std::vector<std::int32_t> whole = first_tokens(all, step, step, kGlobalBatch);
    one_of_three.read(step, std::array<std::int64_t, 2>{4, 1}, part);
    EXPECT_EQ(part.inputs[0], whole[4]);
    EXPECT_EQ(part.inputs[kLength], whole[1]);
    one_of_three.read(step, {}, part);
    EXPECT_EQ(part.sequences, 0);
  }
}

TEST_F(Mixture, GoesOnAfterAResumeAndInOtherBatchesAsIfNothingHadBeen) {
  MixtureBatchReader first = reader();
  const std::vector<std::int32_t> whole = first_tokens(first, 1, 30, kGlobalBatch);
  MixtureBatchReader second = reader();
  const std::vector<std::int32_t> rest = first_tokens(second, 18, 30, kGlobalBatch);
  EXPECT_TRUE(std::equal(rest.begin(), rest.end(), whole.begin() + 17 * kGlobalBatch));
  MixtureBatchReader by_five = reader(5);
  EXPECT_EQ(first_tokens(by_five, 1, 36, 5), whole);
}

TEST_F(Mixture, ReadsOneSourceAfterAnotherInCorpusOrder) {
  MixtureBatchReader mixed = reader();
  EXPECT_EQ(mixed.num_windows(), 77);
  Batch batch;
  mixed.read_sequential(48, 10, batch);
  std::vector<std::int32_t> begins;
  for (std::size_t row = 0; row < 10; ++row) begins.push_back(batch.inputs[row * kLength]);
  EXPECT_THAT(begins, ElementsAre(1192, 1196, 2000, 2004, 2008, 2012, 2016, 2020, 2024, 3000));
}

TEST_F(Mixture, NamesTheSourceThatIsTooShort) {
  sources_.push_back({open_token_source(folder_.write("short", gpt2_file({1, 2}).bytes())), 1});
  EXPECT_THAT(message_of<ConfigError>([&] { reader(); }),
              HasSubstr("short: the corpus holds 2 tokens, but one window of sequence_length 4"));
}

TEST_F(Mixture, RefusesSourcesOfDifferentTokenizers) {
  sources_.push_back(
      {open_token_source(folder_.write("llama", llama3_file({1, 2, 3, 4, 5}).bytes())), 1});
  EXPECT_THAT(message_of<ConfigError>([&] { reader(); }),
              testing::AllOf(HasSubstr("llama holds tokens of the tokenizer of Llama 3, allowed: "),
                             HasSubstr("a, of GPT-2")));
}

TEST_F(Mixture, ComparesWhatSidecarsTellAndTakesSourcesThatTellNothing) {
  const HandMadeShard made;
  const auto described = [&](const std::string& name, const std::string& digest,
                             std::int64_t vocab_size) {
    folder_.write(name + ".json", to_json({.tokenizer_name = "sentencepiece",
                                           .vocab_size = vocab_size,
                                           .tokenizer_digest = digest,
                                           .documents = 2,
                                           .tokens = 6}));
    return WeightedSource{open_token_source(made.write(folder_, name)), 1};
  };
  sources_.push_back(described("d", "xxh3-128:1", 300));
  EXPECT_NO_THROW(reader());
  sources_.push_back(described("e", "xxh3-128:1", 301));
  EXPECT_THAT(message_of<ConfigError>([&] { reader(); }),
              HasSubstr("e holds tokens of the tokenizer xxh3-128:1 (sentencepiece, vocabulary of "
                        "301), allowed: those of "));
  sources_.back() = described("f", "xxh3-128:2", 300);
  EXPECT_THAT(message_of<ConfigError>([&] { reader(); }),
              HasSubstr("f holds tokens of the tokenizer xxh3-128:2"));
}

}  // namespace
}  // namespace hetmoe
