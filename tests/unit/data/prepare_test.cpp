#include "core/data/prepare.h"

#include <gmock/gmock.h>

#include "core/base/error.h"
#include "core/data/token_shard.h"
#include "core/data/tokenizer.h"
#include "english_sample.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using testing::HasSubstr;
using testing::UnorderedElementsAre;

PrepareOptions bytes_by_line(const TemporaryFolder& folder, const std::string& text) {
  return {.inputs = {folder.write("text", text)},
          .out_directory = folder / "out",
          .tokenizer = "bytes",
          .valid_fraction = 0.25,
          .document_separator = "blank-line",
          .sentencepiece_executable = HETMOE_SENTENCEPIECE};
}

std::string numbered_documents(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += "document " + std::to_string(i) + "\n\n";
  return text;
}

std::vector<std::string> decoded_documents(const std::string& prefix,
                                           const std::string& tokenizer) {
  const TokenShard shard = TokenShard::open(prefix);
  const auto decoder = make_tokenizer(tokenizer, HETMOE_SENTENCEPIECE);
  std::vector<std::string> texts;
  for (std::int64_t i = 0; i < shard.num_documents(); ++i) {
    std::vector<std::int32_t> tokens(
        static_cast<std::size_t>(shard.document_begin(i + 1) - shard.document_begin(i)));
    shard.read(shard.document_begin(i), tokens);
    EXPECT_EQ(tokens.back(), decoder->end_of_document());
    texts.push_back(decoder->decode(tokens));
  }
  return texts;
}

TEST(Prepare, PutsEveryDocumentIntoOneOfTwoShardsInOrder) {
  const TemporaryFolder folder;
  const PrepareOptions options = bytes_by_line(folder, numbered_documents(400));
  const PrepareSummary summary = prepare(options);
  const auto train = decoded_documents(folder / "out/train", "bytes");
  const auto valid = decoded_documents(folder / "out/valid", "bytes");
  EXPECT_EQ(summary.train.documents, static_cast<std::int64_t>(train.size()));
  EXPECT_EQ(train.size() + valid.size(), 400U);
  EXPECT_NEAR(static_cast<double>(valid.size()), 100, 45);  // five standard deviations
  std::size_t t = 0;
  std::size_t v = 0;
  std::int64_t raw_bytes = 0;
  for (int i = 0; i < 400; ++i) {
    const std::string text = "document " + std::to_string(i);
    raw_bytes += static_cast<std::int64_t>(text.size());
    if (t < train.size() && train[t] == text) {
      ++t;
    } else {
      ASSERT_LT(v, valid.size());
      ASSERT_EQ(valid[v++], text);
    }
  }
  EXPECT_EQ(summary.train.raw_bytes + summary.valid.raw_bytes, raw_bytes);
  const TokenShard shard = TokenShard::open(folder / "out/valid");
  EXPECT_EQ(shard.sidecar()->raw_bytes, summary.valid.raw_bytes);
  EXPECT_EQ(shard.sidecar()->tokenizer_name, "bytes");
  EXPECT_EQ(shard.num_tokens(), summary.valid.raw_bytes + summary.valid.documents);
}

TEST(Prepare, RepeatsItsSplitAndChangesItWithTheSeed) {
  const TemporaryFolder folder;
  PrepareOptions options = bytes_by_line(folder, numbered_documents(200));
  prepare(options);
  const std::string first = contents_of(folder / "out/valid.bin");
  options.out_directory = folder / "second";
  prepare(options);
  EXPECT_EQ(contents_of(folder / "second/valid.bin"), first);
  options.out_directory = folder / "third";
  options.seed = 2;
  prepare(options);
  EXPECT_NE(contents_of(folder / "third/valid.bin"), first);
}

TEST(Prepare, TrainsATokenizerThatKeepsTheText) {
  const TemporaryFolder folder;
  PrepareOptions options = bytes_by_line(folder, english_sample(3000) + "\ncaf\xE9 \xE2\x96\x81\n");
  options.tokenizer = "";
  options.train_vocabulary = 400;
  const PrepareSummary summary = prepare(options);
  EXPECT_EQ(summary.vocab_size, 400);
  const std::string model = folder / "out/tokenizer.model";
  const auto train = decoded_documents(folder / "out/train", model);
  const auto valid = decoded_documents(folder / "out/valid", model);
  std::int64_t raw_bytes = 0;
  for (const auto& text : train) raw_bytes += static_cast<std::int64_t>(text.size());
  EXPECT_EQ(raw_bytes, summary.train.raw_bytes);
  EXPECT_THAT((train.back() + valid.back()), HasSubstr("caf\xE9 \xE2\x96\x81"));
  EXPECT_THAT(folder.names(),
              UnorderedElementsAre("text", "out", "train.bin", "train.idx", "train.json",
                                   "valid.bin", "valid.idx", "valid.json", "tokenizer.model"));
  // The same model given by path makes the same shards, and is put beside them.
  options.train_vocabulary = 0;
  options.tokenizer = model;
  options.out_directory = folder / "again";
  prepare(options);
  EXPECT_EQ(contents_of(folder / "again/train.bin"), contents_of(folder / "out/train.bin"));
  EXPECT_EQ(contents_of(folder / "again/tokenizer.model"), contents_of(model));
}

TEST(Prepare, KeepsPiecesOfALongDocumentInOneShard) {
  const TemporaryFolder folder;
  PrepareOptions options = bytes_by_line(folder, "");
  options.inputs.clear();
  for (int i = 0; i < 40; ++i) {
    options.inputs.push_back(
        folder.write("in" + std::to_string(i), std::string(100, 'a' + i % 26)));
  }
  options.document_separator = "file";
  options.max_document_bytes = 30;
  const PrepareSummary summary = prepare(options);
  EXPECT_EQ(summary.train.documents % 4, 0);
  EXPECT_EQ(summary.train.raw_bytes % 100, 0);
  EXPECT_EQ(summary.train.documents + summary.valid.documents, 160);
}

TEST(Prepare, RefusesToReplaceUnlessToldTo) {
  const TemporaryFolder folder;
  PrepareOptions options = bytes_by_line(folder, numbered_documents(100));
  prepare(options);
  const std::string before = contents_of(folder / "out/train.bin");
  options.seed = 9;
  EXPECT_THAT(message_of<ConfigError>([&] { prepare(options); }),
              HasSubstr("out/train.idx' exists; --force replaces it"));
  EXPECT_EQ(contents_of(folder / "out/train.bin"), before);
  options.overwrite = true;
  options.valid_fraction = 0;
  EXPECT_EQ(prepare(options).train.documents, 100);
  EXPECT_FALSE(std::filesystem::exists(folder / "out/valid.idx"));
}

TEST(Prepare, LeavesNothingBehindAfterAnError) {
  const TemporaryFolder folder;
  PrepareOptions options = bytes_by_line(folder, numbered_documents(100));
  options.inputs.push_back(folder / "missing");
  EXPECT_THROW(prepare(options), StorageError);
  options.inputs.pop_back();
  EXPECT_THROW(prepare(options, [](const PrepareProgress&) { throw std::runtime_error("stop"); }),
               std::runtime_error);
  options.tokenizer = "";
  options.train_vocabulary = 90000;
  EXPECT_THROW(prepare(options), StorageError);
  EXPECT_THAT(folder.names(), UnorderedElementsAre("text"));
}

TEST(Prepare, KeepsTheOldOutputWhenItFailsWhileReplacing) {
  const TemporaryFolder folder;
  PrepareOptions options = bytes_by_line(folder, numbered_documents(100));
  prepare(options);
  const std::string before = contents_of(folder / "out/train.bin");
  options.overwrite = true;
  EXPECT_THROW(prepare(options, [](const PrepareProgress&) { throw std::runtime_error("stop"); }),
               std::runtime_error);
  EXPECT_EQ(contents_of(folder / "out/train.bin"), before);
  TokenShard::open(folder / "out/valid");
}

TEST(Prepare, RefusesOptionsByName) {
  const TemporaryFolder folder;
  const PrepareOptions good = bytes_by_line(folder, numbered_documents(100));
  const auto message = [&](auto&& change) {
    PrepareOptions options = good;
    change(options);
    return message_of<ConfigError>([&] { prepare(options); });
  };
  EXPECT_THAT(message([](auto& o) { o.inputs.clear(); }), HasSubstr("no input file"));
  EXPECT_THAT(message([](auto& o) { o.out_directory = ""; }), HasSubstr("no output folder"));
  EXPECT_THAT(message([](auto& o) { o.valid_fraction = 0.6; }), HasSubstr("must lie in [0, 0.5]"));
  EXPECT_THAT(message([](auto& o) { o.valid_fraction = 0.0 / 0.0; }), HasSubstr("[0, 0.5]"));
  EXPECT_THAT(message([](auto& o) { o.train_vocabulary = 400; }), HasSubstr("give either"));
  EXPECT_THAT(message([](auto& o) { o.tokenizer = ""; }), HasSubstr("give either"));
  EXPECT_THAT(message([](auto& o) { o.tokenizer = "words"; }), HasSubstr("tokenizer is 'words'"));
  EXPECT_THAT(message([](auto& o) { o.document_separator = "%%"; }),
              HasSubstr("document separator '%%' does not occur"));
  EXPECT_THAT(message([](auto& o) { o.document_separator = "file"; }),
              HasSubstr("the split of 1 documents leaves none "));
}

TEST(Prepare, ReportsProgressToTheEnd) {
  const TemporaryFolder folder;
  const PrepareOptions options = bytes_by_line(folder, numbered_documents(100));
  PrepareProgress last;
  prepare(options, [&](const PrepareProgress& progress) {
    EXPECT_GE(progress.read_bytes, last.read_bytes);
    last = progress;
  });
  EXPECT_EQ(last.stage, "done");
  EXPECT_EQ(last.read_bytes, last.total_bytes);
  EXPECT_EQ(last.documents, 100);
}

}  // namespace
}  // namespace hetmoe
