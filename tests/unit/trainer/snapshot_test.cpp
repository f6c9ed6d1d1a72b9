#include "runtime/trainer/snapshot.h"

#include <ATen/ops/full.h>
#include <gtest/gtest.h>

namespace hetmoe {
namespace {

OwnedRows rows_of(const std::string& name, std::int64_t begin, std::int64_t end,
                  std::int64_t columns, float first) {
  const auto values = [&](float value) {
    return at::full({(end - begin) * columns}, value, at::TensorOptions(at::kFloat));
  };
  OwnedRows rows{.name = name, .row_begin = begin, .row_end = end, .columns = columns};
  rows.master = values(first);
  rows.exp_avg = values(first + 1);
  rows.exp_avg_sq = values(first + 2);
  return rows;
}

const TensorShapes kShapes = {{"a", {5, 3}}, {"norm", {4}}};

TEST(Snapshot, HoldsWhatWasThereWhateverTrainingDoesNext) {
  std::vector<OwnedRows> owned = {rows_of("a", 2, 5, 3, 10), rows_of("norm", 0, 4, 1, 20)};
  Snapshot snapshot;
  const std::vector<ShardRows> rows = snapshot.copy(owned, kShapes);
  for (OwnedRows& part : owned) {
    for (at::Tensor* values : {&part.master, &part.exp_avg, &part.exp_avg_sq}) values->fill_(-1);
  }
  ASSERT_EQ(rows.size(), 6U);
  const char* names[] = {"a",    "exp_avg.a",    "exp_avg_sq.a",
                         "norm", "exp_avg.norm", "exp_avg_sq.norm"};
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].tensor, names[i]);
    EXPECT_EQ(rows[i].shape, kShapes.at(i < 3 ? "a" : "norm"));
    EXPECT_EQ(rows[i].begin, i < 3 ? 2 : 0);
    EXPECT_EQ(rows[i].end, i < 3 ? 5 : 4);
    const float expected = (i < 3 ? 10.0F : 20.0F) + static_cast<float>(i % 3);
    for (int element = 0; element < (i < 3 ? 9 : 4); ++element) {
      EXPECT_EQ(rows[i].values[element], expected) << rows[i].tensor << " " << element;
    }
  }
}

TEST(Snapshot, KeepsItsMemoryAndTakesMoreWhenARankOwnsMore) {
  Snapshot snapshot;
  const float* first = snapshot.copy({rows_of("a", 0, 2, 3, 1)}, kShapes)[0].values;
  EXPECT_EQ(snapshot.copy({rows_of("a", 0, 1, 3, 2)}, kShapes)[0].values, first);
  const std::vector<ShardRows> rows = snapshot.copy({rows_of("a", 0, 5, 3, 3)}, kShapes);
  EXPECT_EQ(rows[2].values[14], 5.0F);
  EXPECT_TRUE(snapshot.copy({}, kShapes).empty());
}

}  // namespace
}  // namespace hetmoe
