#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/model/parameter_gate.h"
#include "core/model/parameter_store.h"
#include "core/optim/adamw.h"
#include "parallel/communicator/communicator.h"
#include "parallel/placement/placement.h"

namespace hetmoe {

/// Rows of one global tensor that this rank owns: fp32 master, both moments and the summed
/// gradient, all one-dimensional views of `rows * columns` elements.
struct OwnedRows {
  std::string name;
  std::int64_t row_begin = 0;
  std::int64_t row_end = 0;
  std::int64_t columns = 1;
  bool is_matrix = true;
  at::Tensor master;
  at::Tensor exp_avg;
  at::Tensor exp_avg_sq;
  at::Tensor gradient;
  at::Tensor copy;  ///< compute copy; the same memory as master in fp32
};

/// Every row of every parameter has one owner (ZeRO-1): gradients are summed there, masters and
/// moments live only there, and updated compute copies go out from there.
///   dense tensors: cut into one contiguous range per rank, water-filled (dense_partition.h)
///   slices: owned where they are placed
/// In fp32 the owner's rows of the compute copy are the master.
/// Sums are taken in rank order. Memory: 4 (gradient) + 12 bytes per owned parameter in bf16,
/// 4 + 8 in fp32, and a receive buffer of the owned dense gradient when there are peers.
class Ownership {
 public:
  /// Collective (world). All references must outlive this; each communicator carries this class of
  /// traffic alone. `placement` is over the world's ranks. The store is fp32 or bf16.
  Ownership(Communicator& gradients, Communicator& parameters, ParameterStore& store,
            const Placement& placement);

  /// Initial masters by (seed, name, row), then broadcast. Collective.
  void initialize(std::uint64_t seed, double standard_deviation);

  /// Sums the store's gradients on their owners. Blocking, collective, once per step.
  void reduce_gradients();

  /// Sum of squares of the summed gradients owned here. Local.
  double owned_sum_of_squares() const;

  /// Updates the rows owned here. Local.
  void update(const AdamWStep& step);

  /// Sends the owners' rows to every compute copy. Blocking, collective; later steps may make this
  /// wait block by block in parameter_gate().
  void broadcast_parameters();
  ParameterGate& parameter_gate() { return gate_; }

  const std::vector<OwnedRows>& owned() const { return owned_; }
  std::int64_t owned_elements() const { return owned_elements_; }

 private:
  void add_owned(const std::string& name, bool is_matrix, std::int64_t row_begin,
                 std::int64_t row_count, std::int64_t columns, std::int64_t store_offset);
  void list_dense();
  void list_slices();

  Communicator& gradients_;
  Communicator& parameters_;
  ParameterStore& store_;
  OpenParameterGate gate_;
  std::vector<std::int64_t> cuts_;    ///< [ranks + 1] in the dense part of the store
  std::vector<std::int64_t> counts_;  ///< [ranks]
  std::int64_t owned_elements_ = 0;
  at::Tensor masters_, exp_avg_, exp_avg_sq_, dense_gradient_;
  std::vector<OwnedRows> owned_;
};

}  // namespace hetmoe
