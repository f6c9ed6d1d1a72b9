#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/model/parameter_specs.h"
#include "core/model/parameter_store.h"
#include "parallel/communicator/communicator.h"
#include "parallel/ownership/update_bytes.h"
#include "parallel/placement/expert_groups.h"
#include "parallel/placement/placement.h"

namespace hetmoe {

/// Gradients of slices that several ranks hold to the owners of their rows (owned_slices.h), and
/// compute copies back: per layer one all-to-all of the world, which runs on while the caller
/// computes; no communicator per subset. Layers of which every row is held once cost nothing.
/// Memory: fp32 buffers for the rows that this rank holds and does not own, and for every other
/// copy of those that it owns; both directions use them in turn.
class ReplicaExchange {
 public:
  /// All ranks of both communicators, with the same placement. The store holds what `placement`
  /// gives this rank. What this rank sends is added to `bytes`. References must outlive this.
  ReplicaExchange(Communicator& gradients, Communicator& parameters, ParameterStore& store,
                  const Placement& placement, const ExpertGroups& groups, UpdateBytes& bytes);

  /// The layer's gradients are sent as they are now. Collective, does not block.
  void start_gradients(int layer);
  /// Adds up the gradients of rows owned here over all that hold them, in rank order, this rank at
  /// its own place. The store's gradients of rows that others own stay as they are.
  void finish_gradients(int layer);

  /// Sends the owners' compute copies as they are now. Collective, does not block.
  void start_values(int layer);
  void finish_values(int layer);  ///< returns at once when nothing was started

 private:
  /// Where the same rows of the three matrices lie in the layer's flat buffer; the rank that they
  /// are shared with.
  struct Rows {
    std::array<std::int64_t, kExpertMatrices> begins = {};
    std::int64_t count = 0;  ///< elements in one matrix
    int peer = 0;
  };
  /// What is shared with others, by peer and then by row: so it lies in the buffer, too.
  struct Side {
    std::vector<Rows> rows;
    std::vector<std::int64_t> counts;  ///< [ranks] elements
    at::Tensor buffer;                 ///< fp32 [sum of counts]
  };
  /// Rows owned here, and where in the buffer the gradients of their other holders lie.
  struct Sum {
    struct Source {
      int rank = 0;
      std::int64_t begin = 0;
    };
    Rows rows;
    std::vector<Source> sources;  ///< by rank
  };
  struct Layer {
    bool is_shared = false;  ///< on any ranks: all take part in the exchange
    Side not_owned;          ///< held here, owned by the peer
    Side owned;              ///< owned here, held by the peer as well
    std::vector<Sum> sums;
    // Last: destroyed first, so that nothing is under way when the buffers go.
    std::optional<Pending> gradients_under_way, values_under_way;
  };

  Layer make_layer(int layer, const LayerPlacement& placement, const ExpertGroups& groups) const;
  static std::vector<Sum> sums_of(const Side& owned);
  /// The side's buffer, as elements of the compute type.
  at::Tensor values_of(const Side& side) const;

  Communicator& gradients_;
  Communicator& parameters_;
  ParameterStore& store_;
  UpdateBytes& bytes_;
  std::vector<Layer> layers_;
};

}  // namespace hetmoe
