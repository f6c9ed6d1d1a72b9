#pragma once

#include <cstdint>
#include <vector>

#include "core/model/parameter_store.h"
#include "parallel/communicator/communicator.h"
#include "parallel/placement/placement.h"

namespace hetmoe {

/// What replicas of slices have to tell their owners, and owners their replicas, as all-to-alls in
/// rank order: no communicator per subset. Layers without replicas cost nothing.
class ReplicaExchange {
 public:
  ReplicaExchange(const Placement& placement, int rank, int num_ranks, std::int64_t hidden_size);

  /// Adds the replicas' gradients to their owners', in rank order. The store's gradients of
  /// replicas that are not owned are left as they are. Collective, blocking.
  void sum_gradients(Communicator& group, ParameterStore& store) const;

  /// The owners' compute copies to the replicas. Collective, blocking.
  void send_values(Communicator& group, ParameterStore& store) const;

 private:
  /// A slice in the layer's buffer, shared with another rank.
  struct Part {
    int peer = 0;
    std::int64_t offset = 0;
    std::int64_t count = 0;
  };
  struct Layer {
    bool has_replicas = false;   ///< on any ranks: all take part in the exchange
    std::vector<Part> replicas;  ///< held here, owned by peer; by peer
    std::vector<Part> copied;    ///< owned here, also held by peer; by peer
  };

  void exchange(Communicator& group, ParameterStore& store, std::vector<Part> Layer::*sent,
                std::vector<Part> Layer::*received, bool of_gradients) const;
  std::vector<std::int64_t> counts(const std::vector<Part>& parts) const;

  int num_ranks_;
  std::vector<Layer> layers_;
};

}  // namespace hetmoe
