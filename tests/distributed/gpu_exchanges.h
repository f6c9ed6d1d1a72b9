#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/argsort.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <ostream>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/model/gpu_token_dispatcher.h"
#include "core/model/token_dispatcher.h"
#include "core/tensor/device.h"
#include "parallel/placement/placement.h"
#include "tests/support/gradient_check.h"

// The same exchanges by hosts and by GPUs.
namespace hetmoe::test {

constexpr int kExperts = 7;
constexpr std::int64_t kWidth = 6;  // of every expert
constexpr std::int64_t kMostSelected = 3;

enum class Routed { kRandom, kAllToOne, kNothing };
enum class Placed { kWhole, kCut, kOnOneRank, kReplicated };

struct DispatchCase {
  const char* name;
  Routed routed = Routed::kRandom;
  Placed placed = Placed::kWhole;
  at::ScalarType type = at::kFloat;
  std::int64_t features = 5;
  int parts = 1;
};

inline void PrintTo(const DispatchCase& c, std::ostream* out) { *out << c.name; }

/// The ranks' slices, sorted as a placement is.
inline Placement placement_of(Placed placed, int ranks) {
  Placement placement;
  placement.layers.resize(1);
  auto& slices = placement.layers[0].slices;
  for (int e = 0; e < kExperts; ++e) {
    const int rank = placed == Placed::kOnOneRank ? ranks / 2 : e % ranks;
    const int other = (rank + 1) % ranks;
    if (placed == Placed::kCut && e % 2 == 0) {
      slices.push_back({e, rank, 0, 2});
      slices.push_back({e, other, 2, 3});
      slices.push_back({e, rank, 3, kWidth});
    } else if (placed == Placed::kReplicated && e % 2 == 0 && ranks > 1) {
      slices.push_back({e, rank, 0, 2});
      slices.push_back({e, std::min(rank, other), 2, kWidth, 0.25});
      slices.push_back({e, std::max(rank, other), 2, kWidth, 0.75});
    } else {
      slices.push_back({e, rank, 0, kWidth});
    }
  }
  return placement;
}

/// What `rank` routes: one to three experts a token, whose gates sum to 1 in every type. Rank 1 has
/// no tokens.
inline Routing routing_of(Routed routed, int rank) {
  std::mt19937 random(static_cast<unsigned>(17 + rank));
  Routing routing;
  routing.offset.push_back(0);
  const int tokens = rank == 1 || routed == Routed::kNothing ? 0 : 5 + 4 * rank;
  for (int t = 0; t < tokens; ++t) {
    if (routed == Routed::kAllToOne) {
      routing.expert.push_back(kExperts - 1);
      routing.gate.push_back(1);
    } else {
      std::vector<std::int32_t> experts = {0, 1, 2, 3, 4, 5, 6};
      std::shuffle(experts.begin(), experts.end(), random);
      experts.resize(1 + random() % kMostSelected);
      std::sort(experts.begin(), experts.end());
      double left = 1;
      for (std::size_t i = 0; i < experts.size(); ++i) {
        const double gate = i + 1 == experts.size() ? left : (1 + random() % 15) / 32.0;
        routing.expert.push_back(experts[i]);
        routing.gate.push_back(gate);
        left -= gate;
      }
    }
    routing.offset.push_back(routing.selections());
  }
  return routing;
}

/// The same on the device, with room that says nothing after the last selection.
inline GpuRouting there(const Routing& routing) {
  const auto room = static_cast<std::size_t>(routing.tokens() * kMostSelected);
  std::vector<std::int32_t> offset(routing.offset.begin(), routing.offset.end());
  std::vector<std::int32_t> expert = routing.expert;
  std::vector<float> gate(routing.gate.begin(), routing.gate.end());
  expert.resize(room, 1 << 30);
  gate.resize(room, -1e30F);
  GpuRouting on_gpu;
  on_gpu.probabilities =
      at::empty({routing.tokens(), kExperts}, at::TensorOptions(at::kFloat).device(gpu_device()));
  on_gpu.offset = uploaded(std::span<const std::int32_t>(offset), at::kInt);
  on_gpu.expert = uploaded(std::span<const std::int32_t>(expert), at::kInt);
  on_gpu.gate = uploaded(std::span<const float>(gate), at::kFloat);
  on_gpu.most_per_token = kMostSelected;
  return on_gpu;
}

/// Values whose first column names rank and token.
inline at::Tensor values_of(const char* name, const DispatchCase& c, int rank) {
  const std::int64_t tokens = routing_of(c.routed, rank).tokens();
  at::Tensor values =
      test_values((std::string(name) + std::to_string(rank)).c_str(), {tokens, c.features});
  for (std::int64_t t = 0; t < tokens; ++t) values[t][0] = 32 * rank + t;
  return values.to(c.type);
}

/// All that an exchange gives, on the host; selections by slice, then as rows came.
struct Exchanged {
  at::Tensor x, y, dy, dx;
  std::vector<std::int64_t> row, slice;
  std::vector<double> gate, dgates;
};

/// Whole numbers that tell rank, slice and row apart.
inline std::vector<double> gate_gradients_of(const Exchanged& exchanged, int rank) {
  std::vector<double> dgates;
  for (std::size_t i = 0; i < exchanged.row.size(); ++i) {
    dgates.push_back(10000.0 * (rank + 1) + 200.0 * static_cast<double>(exchanged.slice[i]) +
                     exchanged.x[exchanged.row[i]][0].item<double>());
  }
  return dgates;
}

inline Exchanged exchange_on_host(TokenDispatcher& dispatcher, const DispatchCase& c, int rank) {
  Exchanged result;
  const auto exchange =
      dispatcher.start_dispatch(0, values_of("x", c, rank), routing_of(c.routed, rank));
  const ReceivedTokens& received = exchange->finish_dispatch();
  std::vector<std::size_t> by_slice(received.row.size());
  std::iota(by_slice.begin(), by_slice.end(), 0);
  std::stable_sort(by_slice.begin(), by_slice.end(), [&](std::size_t a, std::size_t b) {
    return received.slice[a] < received.slice[b];
  });
  for (const std::size_t i : by_slice) {
    result.row.push_back(received.row[i]);
    result.slice.push_back(received.slice[i]);
    result.gate.push_back(received.gate[i]);
  }
  result.x = received.x;
  exchange->start_combine(received.x.mul(rank + 3));
  result.y = exchange->finish_combine();
  exchange->start_dispatch_gradient(values_of("dy", c, rank));
  result.dy = exchange->finish_dispatch_gradient();
  const std::vector<double> sorted = gate_gradients_of(result, rank);
  std::vector<double> dgates(sorted.size());
  for (std::size_t i = 0; i < by_slice.size(); ++i) dgates[by_slice[i]] = sorted[i];
  exchange->start_combine_gradient(result.dy.mul(rank + 5), dgates);
  TokenExchange::Gradient gradient = exchange->finish_combine_gradient();
  result.dx = gradient.dx;
  result.dgates = gradient.dgates;
  return result;
}

template <typename To, typename T>
inline std::vector<To> values_in(const at::Tensor& tensor) {
  const at::Tensor here = tensor.to(at::kCPU).contiguous();
  const T* begin = here.const_data_ptr<T>();
  return {begin, begin + here.numel()};
}

/// Every row names its places in order, and nothing else.
inline void check_places_of_rows(const on_gpu::SlicePlaces& places, std::int64_t rows) {
  const auto row = values_in<std::int64_t, std::int32_t>(places.row);
  const auto of_row = values_in<std::int64_t, std::int32_t>(places.of_row);
  const std::int64_t room = places.of_row.size(1);
  ASSERT_EQ(places.of_row.size(0), rows);
  std::vector<std::int64_t> expected(static_cast<std::size_t>(rows * room), -1);
  std::vector<std::int64_t> used(static_cast<std::size_t>(rows), 0);
  for (std::size_t place = 0; place < row.size(); ++place) {
    std::int64_t& next = used.at(static_cast<std::size_t>(row[place]));
    ASSERT_LT(next, room);
    expected[static_cast<std::size_t>(row[place] * room + next++)] =
        static_cast<std::int64_t>(place);
  }
  EXPECT_EQ(of_row, expected);
}

/// What came in one part, in the device's order.
inline Exchanged received_part(const GpuTokenExchange::Received& received) {
  check_places_of_rows(received.places, received.x.size(0));
  Exchanged part;
  part.x = received.x.to(at::kCPU);
  part.row = values_in<std::int64_t, std::int32_t>(received.places.row);
  part.gate = values_in<double, float>(received.places.gate);
  for (std::size_t s = 0; s < received.places.of_slice.size(); ++s) {
    part.slice.insert(part.slice.end(), static_cast<std::size_t>(received.places.of_slice[s]),
                      static_cast<std::int64_t>(s));
  }
  return part;
}

/// All parts as one, rows by source and token as the hosts have them: the first column tells both.
inline Exchanged joined(const std::vector<Exchanged>& parts) {
  std::vector<at::Tensor> x, dy;
  Exchanged all;
  std::int64_t rows = 0;
  for (const Exchanged& part : parts) {
    x.push_back(part.x);
    dy.push_back(part.dy);
    for (const std::int64_t row : part.row) all.row.push_back(rows + row);
    all.slice.insert(all.slice.end(), part.slice.begin(), part.slice.end());
    all.gate.insert(all.gate.end(), part.gate.begin(), part.gate.end());
    rows += part.x.size(0);
  }
  const at::Tensor order = at::cat(x).select(1, 0).argsort();
  all.x = at::cat(x).index_select(0, order);
  all.dy = at::cat(dy).index_select(0, order);
  const auto new_row = values_in<std::int64_t, std::int64_t>(order.argsort());
  for (std::int64_t& row : all.row) row = new_row[static_cast<std::size_t>(row)];
  std::vector<std::size_t> places(all.row.size());
  std::iota(places.begin(), places.end(), 0);
  std::sort(places.begin(), places.end(), [&](std::size_t a, std::size_t b) {
    return std::pair(all.slice[a], all.row[a]) < std::pair(all.slice[b], all.row[b]);
  });
  Exchanged sorted = all;
  for (std::size_t i = 0; i < places.size(); ++i) {
    sorted.row[i] = all.row[places[i]];
    sorted.slice[i] = all.slice[places[i]];
    sorted.gate[i] = all.gate[places[i]];
  }
  return sorted;
}

inline Exchanged exchange_on_gpu(GpuTokenDispatcher& dispatcher, const DispatchCase& c, int rank) {
  const Routing routing = routing_of(c.routed, rank);
  const auto exchange =
      dispatcher.start_dispatch(0, values_of("x", c, rank).to(gpu_device()), there(routing));
  std::vector<Exchanged> parts;
  for (int part = 0; part < exchange->parts(); ++part) {
    const GpuTokenExchange::Received received = exchange->finish_dispatch(part);
    exchange->start_combine(part, received.x.mul(rank + 3));
    parts.push_back(received_part(received));
  }
  const at::Tensor y = exchange->finish_combine();
  const at::Tensor dy_there = values_of("dy", c, rank).to(gpu_device());
  exchange->start_dispatch_gradient(dy_there);
  for (int part = 0; part < exchange->parts(); ++part) {
    const at::Tensor dy = exchange->finish_dispatch_gradient(part);
    Exchanged& here = parts[static_cast<std::size_t>(part)];
    here.dy = dy.to(at::kCPU);
    const std::vector<double> dgates = gate_gradients_of(here, rank);
    const std::vector<float> narrow(dgates.begin(), dgates.end());
    exchange->start_combine_gradient(part, dy.mul(rank + 5),
                                     uploaded(std::span<const float>(narrow), at::kFloat));
  }
  const GpuTokenExchange::Gradient gradient = exchange->finish_combine_gradient();
  Exchanged result = joined(parts);
  result.y = y.to(at::kCPU);
  result.dx = gradient.dx.to(at::kCPU);
  result.dgates = values_in<double, float>(gradient.dgate.narrow(0, 0, routing.selections()));
  return result;
}

}  // namespace hetmoe::test
