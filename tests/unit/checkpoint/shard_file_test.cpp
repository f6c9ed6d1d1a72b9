#include "runtime/checkpoint/shard_file.h"

#include <gtest/gtest.h>

#include <numeric>

#include "core/base/error.h"
#include "runtime/checkpoint/checkpoint_folder.h"
#include "runtime/checkpoint/checkpoint_reader.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

/// Rows [begin, end) of a tensor of five rows of three whose elements count from `first`.
struct Part {
  std::string tensor;
  std::int64_t begin;
  std::int64_t end;
  float first;
};

WrittenShard write_parts(const std::filesystem::path& folder, int rank,
                         const std::vector<Part>& parts) {
  std::vector<std::vector<float>> values;
  std::vector<ShardRows> rows;
  for (const Part& part : parts) {
    values.emplace_back(3 * (part.end - part.begin));
    std::iota(values.back().begin(), values.back().end(),
              part.first + 3.0F * static_cast<float>(part.begin));
    rows.push_back({part.tensor, {5, 3}, part.begin, part.end, values.back().data()});
  }
  return write_shard(folder, shard_file_name(rank), rows);
}

TEST(ShardFile, PartsOfSeveralRanksMakeOneReadableCheckpoint) {
  const TemporaryFolder temporary;
  const CheckpointFolder folder(temporary.path());
  const auto path = folder.begin(7);
  Manifest manifest;
  manifest.step = 7;
  manifest.state.ranks = 3;
  manifest.state.expert_group_size = 3;
  manifest.state.plan = "{}";
  // Rank 1 has the first rows, rank 2 nothing.
  const std::vector<std::vector<Part>> ranks = {
      {{"a", 2, 5, 100}, {"exp_avg.a", 0, 5, 500}}, {{"a", 0, 2, 100}, {"b", 0, 5, 0}}, {}};
  for (int rank = 0; rank < 3; ++rank) {
    const WrittenShard written = write_parts(path, rank, ranks[rank]);
    EXPECT_EQ(std::filesystem::file_size(path / written.file.name), written.file.bytes);
    add_shard(shard_of_text(shard_text(written)), manifest);
  }
  sort_parts(manifest);
  folder.commit(manifest);

  CheckpointReader reader(path);
  reader.verify();
  std::vector<float> read(15);
  reader.read_rows("a", 0, 5, read);
  for (int i = 0; i < 15; ++i) EXPECT_EQ(read[i], 100.0F + static_cast<float>(i)) << i;
  reader.read_rows("exp_avg.a", 0, 5, read);
  EXPECT_EQ(read[14], 514.0F);
  reader.read_rows("b", 0, 5, read);
  EXPECT_EQ(read[14], 14.0F);
  EXPECT_EQ(reader.manifest().files.size(), 3U);
}

TEST(ShardFile, RowsThatNobodyWroteAreRefusedAtTheCommit) {
  const TemporaryFolder temporary;
  const CheckpointFolder folder(temporary.path());
  const auto path = folder.begin(7);
  Manifest manifest;
  manifest.step = 7;
  manifest.state.ranks = 1;
  manifest.state.expert_group_size = 1;
  manifest.state.plan = "{}";
  add_shard(write_parts(path, 0, {{"a", 0, 2, 0}, {"a", 3, 5, 0}}), manifest);
  sort_parts(manifest);
  EXPECT_THROW(folder.commit(manifest), Error);
  EXPECT_FALSE(folder.steps().at(0).committed);
}

TEST(ShardFile, AFolderThatIsGoneIsNamed) {
  const TemporaryFolder temporary;
  try {
    write_parts(temporary.path() / "gone", 12, {{"a", 0, 5, 0}});
    FAIL();
  } catch (const StorageError& error) {
    EXPECT_NE(std::string(error.what()).find("gone/shard-00012.safetensors"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace hetmoe
