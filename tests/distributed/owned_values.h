#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "parallel/communicator/communicator.h"
#include "parallel/ownership/ownership.h"
#include "runtime/checkpoint/tensor_shapes.h"
#include "runtime/run_config.h"

namespace hetmoe::test {

/// Master and both moments, one after another, of every element of every tensor.
using Values = std::map<std::string, std::vector<double>>;

/// As their owners have them. Collective over `world`.
inline Values values_of_owners(const RunConfig& config, const Ownership& ownership,
                               Communicator& world) {
  Values all;
  for (const auto& [name, shape] : tensor_shapes(config.model)) {
    all[name].assign(3 * shape[0] * (shape.size() > 1 ? shape[1] : 1), 0.0);
  }
  for (const OwnedRows& rows : ownership.owned()) {
    std::vector<double>& values = all.at(rows.name);
    const at::Tensor kinds[] = {rows.master.to(at::kCPU), rows.exp_avg.to(at::kCPU),
                                rows.exp_avg_sq.to(at::kCPU)};
    for (int kind = 0; kind < 3; ++kind) {
      for (std::int64_t i = 0; i < kinds[kind].numel(); ++i) {
        values[kind * values.size() / 3 + rows.row_begin * rows.columns + i] +=
            kinds[kind].const_data_ptr<float>()[i];
      }
    }
  }
  for (auto& [name, values] : all) {
    world.all_reduce(buffer_of(std::span<double>(values)), Reduction::kSum).wait();
  }
  return all;
}

}  // namespace hetmoe::test
