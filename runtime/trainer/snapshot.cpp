#include "runtime/trainer/snapshot.h"

#include <ATen/ops/empty.h>

#include <array>
#include <string>

#include "core/base/check.h"
#include "core/tensor/device.h"
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
  std::int64_t needed = 0;
  for (const OwnedRows& rows : owned) {
    needed += static_cast<std::int64_t>(kKinds.size()) * rows.master.numel();
  }
  const bool on_gpu = !owned.empty() && !owned[0].master.is_cpu();
  if (!values_.defined() || needed > values_.numel()) {
    values_.reset();
    values_ = on_gpu ? empty_pinned({needed}, at::kFloat)
                     : at::empty({needed}, at::TensorOptions(at::kFloat));
  }
  std::vector<ShardRows> copies;
  std::int64_t next = 0;
  for (const OwnedRows& rows : owned) {
    const auto shape = shapes.find(rows.name);
    HETMOE_CHECK(shape != shapes.end(), "no shape of ", rows.name);
    for (const Kind& kind : kKinds) {
      const at::Tensor& values = rows.*kind.values;
      values_.narrow(0, next, values.numel()).copy_(values, /*non_blocking=*/true);
      copies.push_back({.tensor = std::string(kind.prefix) + rows.name,
                        .shape = shape->second,
                        .begin = rows.row_begin,
                        .end = rows.row_end,
                        .values = values_.const_data_ptr<float>() + next});
      next += values.numel();
    }
  }
  if (on_gpu) wait_for_gpu();
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
