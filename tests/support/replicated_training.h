#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/model/parameter_store.h"
#include "core/optim/adamw.h"
#include "parallel/placement/expert_groups.h"
#include "parallel/placement/placement.h"

namespace hetmoe::test {

/// One row of a store: its global tensor and row, its gradient and its compute copy.
struct StoredRow {
  std::string name;
  std::int64_t row = 0;
  int block = 0;
  std::span<float> gradient;
  at::Tensor copy;  ///< [columns]
};

/// Every row of every tensor that a rank computes with.
std::vector<StoredRow> rows_of(ParameterStore& store);

/// A made-up gradient of one element: every rank can tell those of all others.
float gradient_of(int rank, std::int64_t step, const std::string& name, std::int64_t row,
                  std::int64_t column);

/// The same training without owners: every rank keeps everything, sums gradients over all that
/// compute with a row in rank order, and updates all of it.
class ReplicatedTraining {
 public:
  ReplicatedTraining(const ModelConfig& model, const Placement& placement,
                     const ExpertGroups& groups, std::uint64_t seed);

  /// Slices are held elsewhere from now on.
  void follow(const Placement& placement) { placement_ = placement; }

  /// Gradients of `step` (gradient_of), summed, then one update.
  void sum_gradients(std::int64_t step);
  void update(const AdamWStep& step);

  std::span<const float> gradient(const std::string& name, std::int64_t row) const;
  std::span<const float> master(const std::string& name, std::int64_t row) const;

 private:
  struct Tensor {
    TensorSpec spec;
    int layer = -1;  ///< of an expert's matrix
    int expert = -1;
    std::vector<float> master, gradient, exp_avg, exp_avg_sq;
  };

  void add_tensor(const TensorSpec& spec, int layer, int expert, std::uint64_t seed);
  bool holds(int rank, const Tensor& tensor, std::int64_t row) const;

  Placement placement_;
  ExpertGroups groups_;
  std::map<std::string, Tensor> tensors_;
};

}  // namespace hetmoe::test
