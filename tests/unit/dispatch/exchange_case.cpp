#include "tests/unit/dispatch/exchange_case.h"

#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <ostream>
#include <random>
#include <string>

#include "tests/support/gradient_check.h"

namespace hetmoe::exchange_test {
namespace {

/// Sum over the received selections of each row of gate * part of the expert here.
at::Tensor row_weights(const ReceivedTokens& received, const Placement& placement, int rank) {
  at::Tensor weights = at::zeros({received.x.size(0), 1}, at::TensorOptions(at::kDouble));
  auto* out = weights.mutable_data_ptr<double>();
  const std::vector<HeldSlice> held = held_slices(placement.layers[0], 0, rank);
  for (std::size_t s = 0; s < received.row.size(); ++s) {
    out[received.row[s]] +=
        received.gate[s] * static_cast<double>(held.at(received.slice[s]).slice.width()) / kWidth;
  }
  return weights;
}

std::vector<ExchangeCase> cases_of(int ranks, int ranks_per_node) {
  std::vector<ExchangeCase> cases;
  for (const int experts : {4, 8}) {
    for (const Routed routed :
         {Routed::kRandom, Routed::kAnyNumber, Routed::kAllToOne, Routed::kNothing}) {
      for (const Placed placed :
           {Placed::kWhole, Placed::kCut, Placed::kOnOneRank, Placed::kReplicated}) {
        cases.push_back({ranks, experts, routed, placed, ranks_per_node});
      }
    }
  }
  return cases;
}

}  // namespace

void PrintTo(const ExchangeCase& c, std::ostream* out) {
  *out << c.ranks << " ranks, " << c.experts << " experts, routed " << static_cast<int>(c.routed)
       << ", placed " << static_cast<int>(c.placed) << ", " << c.ranks_per_node
       << " ranks per node";
}

std::unique_ptr<PlacedTokenDispatcher> dispatcher_of(const ExchangeCase& c, Communicator& group,
                                                     const Placement& placement) {
  const RankNodes nodes =
      c.ranks_per_node == 0 ? RankNodes() : nodes_of_neighbours(c.ranks_per_node, 0, c.ranks);
  EXPECT_EQ(nodes.has_two_levels(), c.in_two_hops());
  return make_all_to_all_token_dispatcher(group, placement, nodes);
}

Placement placement_of(const ExchangeCase& c) {
  Placement placement;
  placement.layers.resize(1);
  for (int e = 0; e < c.experts; ++e) {
    const int rank = c.placed == Placed::kOnOneRank ? c.ranks / 2 : e % c.ranks;
    if (c.placed == Placed::kCut && e % 2 == 0) {
      placement.layers[0].slices.push_back({e, rank, 0, 2});
      placement.layers[0].slices.push_back({e, (rank + 1) % c.ranks, 2, 3});
      placement.layers[0].slices.push_back({e, (rank + 2) % c.ranks, 3, kWidth});
    } else if (c.placed == Placed::kReplicated && e % 2 == 0 && c.ranks > 1) {
      const int other = (rank + 1) % c.ranks;
      // Rows 0 to 2 stand alone, beside a replica of the others.
      placement.layers[0].slices.push_back({e, rank, 0, 2});
      placement.layers[0].slices.push_back({e, std::min(rank, other), 2, kWidth, 0.25});
      placement.layers[0].slices.push_back({e, std::max(rank, other), 2, kWidth, 0.75});
    } else {
      placement.layers[0].slices.push_back({e, rank, 0, kWidth});
    }
  }
  return placement;
}

std::vector<Slice> slices_on_rank(const Placement& placement, int expert, int rank) {
  std::vector<Slice> slices;
  for (const HeldSlice& held : held_slices(placement.layers[0], 0, rank)) {
    if (held.slice.expert == expert) slices.push_back(held.slice);
  }
  return slices;
}

Routing routing_of(const ExchangeCase& c, int rank) {
  std::mt19937 random(static_cast<unsigned>(100 * c.experts + rank));
  Routing routing;
  routing.offset.push_back(0);
  const int tokens = rank == 1 || c.routed == Routed::kNothing ? 0 : 3 + 2 * rank;
  for (int t = 0; t < tokens; ++t) {
    if (c.routed == Routed::kAllToOne) {
      routing.expert.push_back(c.experts - 1);
      routing.gate.push_back(1.0);
    } else if (c.routed == Routed::kAnyNumber) {
      const auto last = static_cast<int>(random() % c.experts);
      for (int e = 0; e <= last; ++e) {
        if (e < last && random() % 2 == 0) continue;
        routing.expert.push_back(e);
        routing.gate.push_back(static_cast<double>(1 + random() % 15) / 16);
      }
    } else {
      const auto first = static_cast<int>(random() % (c.experts - 1));
      const auto second = first + 1 + static_cast<int>(random() % (c.experts - 1 - first));
      const double gate = static_cast<double>(1 + random() % 15) / 16;
      routing.expert.insert(routing.expert.end(), {first, second});
      routing.gate.insert(routing.gate.end(), {gate, 1 - gate});
    }
    routing.offset.push_back(routing.selections());
  }
  return routing;
}

at::Tensor rank_values(const char* name, int rank, std::int64_t rows) {
  const std::string text = std::string(name) + std::to_string(rank);
  return test_values(text.c_str(), {rows, kHidden});
}

at::Tensor map_of_rank(int rank) { return rank_values("map", rank, kHidden); }

double gate_gradient(int rank, std::int32_t expert, double first_feature) {
  return (rank + 1) * 100 + expert + first_feature;
}

std::int64_t slices_there(const Routing& routing, const Placement& placement, std::int64_t token,
                          const std::vector<int>& there) {
  std::int64_t count = 0;
  for (std::int64_t s = routing.offset[token]; s < routing.offset[token + 1]; ++s) {
    for (const int rank : there) {
      count += static_cast<std::int64_t>(slices_on_rank(placement, routing.expert[s], rank).size());
    }
  }
  return count;
}

std::vector<ExchangeCase> all_cases() {
  std::vector<ExchangeCase> cases;
  // Nodes not known; of two and of three ranks; the last one smaller; one rank each; all in one.
  for (const auto& [ranks, ranks_per_node] : {std::array{1, 0},
                                              {2, 0},
                                              {3, 0},
                                              {5, 0},
                                              {4, 2},
                                              {6, 3},
                                              {3, 2},
                                              {5, 2},
                                              {5, 3},
                                              {3, 1},
                                              {3, 3},
                                              {2, 4}}) {
    const auto more = cases_of(ranks, ranks_per_node);
    cases.insert(cases.end(), more.begin(), more.end());
  }
  return cases;
}

ExchangeResult run_exchange(TokenDispatcher& dispatcher, const Placement& placement, int rank,
                            const Routing& routing, const at::Tensor& x, const at::Tensor& dy,
                            const at::Tensor& forward_map) {
  ExchangeResult result;
  const auto exchange = dispatcher.start_dispatch(0, x, routing);
  const ReceivedTokens& received = exchange->finish_dispatch();
  const at::Tensor weights = row_weights(received, placement, rank);
  exchange->start_combine(at::mm(received.x.mul(weights), forward_map));
  result.y = exchange->finish_combine();
  std::vector<double> dgates;
  for (std::size_t s = 0; s < received.row.size(); ++s) {
    const Slice slice = held_slices(placement.layers[0], 0, rank).at(received.slice[s]).slice;
    dgates.push_back(
        gate_gradient(rank, slice.expert, received.x[received.row[s]][0].item<double>()));
  }
  exchange->start_dispatch_gradient(dy);
  const at::Tensor dy_received = exchange->finish_dispatch_gradient();
  exchange->start_combine_gradient(at::mm(dy_received.mul(weights), forward_map.t()), dgates);
  result.gradient = exchange->finish_combine_gradient();
  return result;
}

}  // namespace hetmoe::exchange_test
