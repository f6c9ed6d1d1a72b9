#include "runtime/trainer/snapshot.h"

#include <algorithm>
#include <array>
#include <string>

#include "core/base/check.h"
#include "runtime/checkpoint/checkpoint_reader.h"

namespace hetmoe {
namespace {

/// The kinds of values of owned rows, by the prefix of their names in a checkpoint.
struct Kind {
  std::string_view prefix;
  at::Tensor OwnedRows::*values;
};
constexpr std::array<Kind, 3> kKinds = {{{"", &OwnedRows::master},
                                         {kFirstMoment, &OwnedRows::exp_avg},
                                         {kSecondMoment, &OwnedRows::exp_avg_sq}}};

}  // namespace

std::vector<ShardRows> Snapshot::copy(const std::vector<OwnedRows>& owned,
                                      const TensorShapes& shapes) {
  std::size_t needed = 0;
  for (const OwnedRows& rows : owned) {
    needed += kKinds.size() * static_cast<std::size_t>(rows.master.numel());
  }
  if (needed > capacity_) {
    values_.reset();
    values_ = std::make_unique_for_overwrite<float[]>(needed);
    capacity_ = needed;
  }
  std::vector<ShardRows> copies;
  float* target = values_.get();
  for (const OwnedRows& rows : owned) {
    const auto shape = shapes.find(rows.name);
    HETMOE_CHECK(shape != shapes.end(), "no shape of ", rows.name);
    for (const Kind& kind : kKinds) {
      const at::Tensor& values = rows.*kind.values;
      std::copy_n(values.const_data_ptr<float>(), values.numel(), target);
      copies.push_back({.tensor = std::string(kind.prefix) + rows.name,
                        .shape = shape->second,
                        .begin = rows.row_begin,
                        .end = rows.row_end,
                        .values = target});
      target += values.numel();
    }
  }
  return copies;
}

void read_owned_rows(CheckpointReader& checkpoint, OwnedRows& rows) {
  for (const Kind& kind : kKinds) {
    const at::Tensor& values = rows.*kind.values;
    checkpoint.read_rows(
        std::string(kind.prefix) + rows.name, rows.row_begin, rows.row_end,
        {values.mutable_data_ptr<float>(), static_cast<std::size_t>(values.numel())});
  }
}

}  // namespace hetmoe
