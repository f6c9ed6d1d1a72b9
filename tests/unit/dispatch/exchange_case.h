#pragma once

#include <ATen/core/Tensor.h>

#include <iosfwd>
#include <memory>
#include <span>
#include <vector>

#include "parallel/communicator/communicator.h"
#include "parallel/dispatch/all_to_all_token_dispatcher.h"
#include "parallel/placement/held_slices.h"

namespace hetmoe::exchange_test {

inline constexpr std::int64_t kHidden = 5;
inline constexpr std::int64_t kWidth = 6;  ///< of every expert

/// How a case routes and places.
enum class Routed { kRandom, kAnyNumber, kAllToOne, kNothing };
enum class Placed { kWhole, kCut, kOnOneRank, kReplicated };

struct ExchangeCase {
  int ranks = 1;
  int experts = 4;
  Routed routed = Routed::kRandom;
  Placed placed = Placed::kWhole;
  int ranks_per_node = 0;  ///< 0: nodes are not known

  bool in_two_hops() const { return ranks_per_node > 1 && ranks_per_node < ranks; }
  int node_of(int rank) const { return ranks_per_node == 0 ? 0 : rank / ranks_per_node; }
  std::vector<int> ranks_of_node(int node) const {
    std::vector<int> there;
    for (int rank = 0; rank < ranks; ++rank) {
      if (node_of(rank) == node) there.push_back(rank);
    }
    return there;
  }
  /// The rank on `node` with the number that `rank` has on its own, counted round.
  int relay(int rank, int node) const {
    const std::vector<int> there = ranks_of_node(node);
    return there[static_cast<std::size_t>(rank % ranks_per_node) % there.size()];
  }
};

void PrintTo(const ExchangeCase& c, std::ostream* out);

/// Of one to six ranks, with and without nodes.
std::vector<ExchangeCase> all_cases();

Placement placement_of(const ExchangeCase& c);
std::unique_ptr<PlacedTokenDispatcher> dispatcher_of(const ExchangeCase& c, Communicator& group,
                                                     const Placement& placement);

/// The runs of rows of an expert that lie on a rank.
std::vector<Slice> slices_on_rank(const Placement& placement, int expert, int rank);

/// Of the slices that a token's experts have on the ranks `there`, the number.
std::int64_t slices_there(const Routing& routing, const Placement& placement, std::int64_t token,
                          const std::vector<int>& there);

/// What `rank` routes: two experts a token whose gates sum to 1, one, or any number of them; as
/// many tokens as 3 + 2 * rank, but rank 1 has none.
Routing routing_of(const ExchangeCase& c, int rank);

/// [rows, kHidden], by name and rank.
at::Tensor rank_values(const char* name, int rank, std::int64_t rows);

/// The linear map that stands for the experts of a rank.
at::Tensor map_of_rank(int rank);

/// The gradient that a rank gives a selection's gate: it tells the rank, the expert and the token
/// apart.
double gate_gradient(int rank, std::int32_t expert, double first_feature);

struct ExchangeResult {
  at::Tensor y;
  TokenExchange::Gradient gradient;
};

/// Runs an exchange forward with `forward_map` on this rank's rows, and backward with its
/// transpose. Collective.
ExchangeResult run_exchange(TokenDispatcher& dispatcher, const Placement& placement, int rank,
                            const Routing& routing, const at::Tensor& x, const at::Tensor& dy,
                            const at::Tensor& forward_map);

}  // namespace hetmoe::exchange_test
