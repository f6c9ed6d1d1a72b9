#include "core/data/token_shard_writer.h"

#include <gmock/gmock.h>

#include <array>

#include "core/base/error.h"
#include "hand_made_shard.h"

namespace hetmoe {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

ShardSidecar a_sidecar() {
  return {.tokenizer_name = "bytes", .vocab_size = 257, .tokenizer_digest = "xxh3-128:0"};
}

TEST(TokenShardWriter, WritesTheBytesOfTheFormat) {
  const TemporaryFolder folder;
  TokenShardWriter writer(folder / "out", 257);
  writer.append_document(std::array<std::int32_t, 3>{1, 2, 256});
  writer.append_document(std::array<std::int32_t, 1>{256});
  writer.finish(a_sidecar());
  const HandMadeShard expected{.num_sequences = 2,
                               .num_indices = 3,
                               .lengths = {3, 1},
                               .offsets = {0, 6},
                               .document_indices = {0, 1, 2}};
  EXPECT_EQ(contents_of(folder / "out.idx"), expected.index_bytes());
  EXPECT_EQ(contents_of(folder / "out.bin"), std::string("\x01\0\x02\0\0\x01\0\x01", 8));
  EXPECT_THAT(folder.names(), UnorderedElementsAre("out.bin", "out.idx", "out.json"));
}

TEST(TokenShardWriter, WritesFourBytesFromAVocabularyOf65500) {
  const TemporaryFolder folder;
  EXPECT_EQ(token_type_for(65499), TokenType::kUint16);
  TokenShardWriter writer(folder / "out", 65500);
  writer.append_document(std::array<std::int32_t, 2>{65499, 1});
  writer.finish(a_sidecar());
  EXPECT_EQ(contents_of(folder / "out.bin"),
            little_endian<std::int32_t>(65499) + little_endian<std::int32_t>(1));
  EXPECT_EQ(contents_of(folder / "out.idx")[17], '\x04');
}

TEST(TokenShardWriter, CountsDocumentsBeyondOneSpillBlock) {
  const TemporaryFolder folder;
  TokenShardWriter writer(folder / "out", 300);
  constexpr int kDocuments = 70001;
  for (int i = 0; i < kDocuments; ++i) {
    writer.append_document(std::vector<std::int32_t>(static_cast<std::size_t>(i % 3), i % 300));
  }
  writer.finish(a_sidecar());
  const TokenShard shard = TokenShard::open(folder / "out");
  EXPECT_EQ(shard.num_documents(), kDocuments);
  EXPECT_EQ(shard.num_tokens(), 70000);
  EXPECT_EQ(shard.sidecar()->documents, kDocuments);
  EXPECT_EQ(shard.document_begin(70001), 70000);
  EXPECT_EQ(shard.document_begin(70000), 69999);
}

TEST(TokenShardWriter, LeavesNothingBehindWhenItIsNotFinished) {
  const TemporaryFolder folder;
  {
    TokenShardWriter writer(folder / "out", 257);
    writer.append_document(std::array<std::int32_t, 1>{1});
    EXPECT_FALSE(std::filesystem::exists(folder / "out.idx"));
    EXPECT_FALSE(std::filesystem::exists(folder / "out.bin"));
  }
  EXPECT_THAT(folder.names(), IsEmpty());
}

TEST(TokenShardWriter, GoesOnBehindWhatWasKept) {
  const TemporaryFolder folder;
  for (const std::int64_t vocab_size : {300, 70000}) {
    const auto append = [](TokenShardWriter& writer, int begin, int end) {
      for (int i = begin; i < end; ++i) {
        writer.append_document(std::vector<std::int32_t>(static_cast<std::size_t>(i % 5), i % 300));
      }
    };
    TokenShardWriter whole(folder / "whole", vocab_size);
    append(whole, 0, 9000);
    whole.finish(a_sidecar());
    KeptShard kept;
    {
      TokenShardWriter first(folder / "out", vocab_size);
      append(first, 0, 4321);
      first.sync();
      first.keep();
      kept = {.documents = first.num_documents(), .tokens = first.num_tokens()};
      append(first, 4321, 9000);  // what comes after the last sync does not count
    }
    EXPECT_TRUE(kept_shard_is_there(folder / "out", vocab_size, kept));
    EXPECT_FALSE(kept_shard_is_there(folder / "out", vocab_size, {.documents = 1 << 20}));
    TokenShardWriter second(folder / "out", vocab_size, kept);
    append(second, 4321, 9000);
    second.finish(a_sidecar());
    for (const std::string suffix : {".bin", ".idx", ".json"}) {
      EXPECT_EQ(contents_of(folder / ("out" + suffix)), contents_of(folder / ("whole" + suffix)));
    }
    EXPECT_THAT(folder.names(), UnorderedElementsAre("out.bin", "out.idx", "out.json", "whole.bin",
                                                     "whole.idx", "whole.json"));
  }
}

TEST(TokenShardWriter, RefusesASecondWriterAndAMissingFolder) {
  const TemporaryFolder folder;
  const TokenShardWriter writer(folder / "out", 257);
  EXPECT_THAT(message_of<StorageError>([&] { TokenShardWriter(folder / "out", 257); }),
              HasSubstr("another process is writing it"));
  EXPECT_THAT(message_of<StorageError>([&] { TokenShardWriter(folder / "no/out", 257); }),
              HasSubstr("no/out.bin.partial': No such file"));
}

TEST(TokenShardWriter, RefusesATokenOutsideItsVocabulary) {
  const TemporaryFolder folder;
  TokenShardWriter writer(folder / "out", 257);
  EXPECT_THROW(writer.append_document(std::array<std::int32_t, 1>{257}), InternalError);
  EXPECT_THROW(writer.append_document(std::array<std::int32_t, 1>{-1}), InternalError);
}

}  // namespace
}  // namespace hetmoe
