// The exchange between GPUs beside the exchange between hosts, on the same routing.
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <observed_device.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "core/tensor/device.h"
#include "parallel/communicator/nccl_communicator.h"
#include "parallel/dispatch/all_to_all_token_dispatcher.h"
#include "parallel/dispatch/gpu_all_to_all.h"
#include "parallel/placement/held_slices.h"
#include "tests/distributed/gpu_exchanges.h"
#include "tests/support/gradient_check.h"
#include "tests/support/mpi_world.h"

namespace hetmoe::test {
namespace {

/// To the bit: both add in rank order and round once.
void expect_same(const Exchanged& got, const Exchanged& expected) {
  EXPECT_EQ(got.row, expected.row);
  EXPECT_EQ(got.slice, expected.slice);
  EXPECT_EQ(got.gate, expected.gate);
  EXPECT_TRUE(got.x.equal(expected.x));
  EXPECT_TRUE(got.y.equal(expected.y));
  EXPECT_TRUE(got.dy.equal(expected.dy));
  EXPECT_TRUE(got.dx.equal(expected.dx));
  EXPECT_EQ(got.dgates, expected.dgates);
}

class GpuDispatch : public testing::TestWithParam<DispatchCase> {
 protected:
  int ranks() const { return test_world().size(); }
  int rank() const { return test_world().rank(); }
  Communicator& hosts() { return test_world(); }
  Communicator& devices() { return *devices_; }
  Placement placement() const { return placement_of(GetParam().placed, ranks()); }

 private:
  DeviceGroups groups_{60};
  std::unique_ptr<Communicator> devices_ = make_nccl_communicator(
      test_world().split(0, test_world().rank()),
      {.compute_stream = &compute_stream, .groups = &groups_, .scratch_bytes = 1 << 16});
};

/// Which replica serves a token is not what the hosts choose.
class GpuDispatchOfReplicas : public GpuDispatch {};
class GpuDispatchBesideHosts : public GpuDispatch {};

TEST_P(GpuDispatchBesideHosts, gives_what_the_hosts_exchange_gives) {
  const auto on_host = make_all_to_all_token_dispatcher(hosts(), placement());
  const auto on_gpu =
      make_all_to_all_gpu_token_dispatcher(devices(), placement(), GetParam().parts);
  expect_same(exchange_on_gpu(*on_gpu, GetParam(), rank()),
              exchange_on_host(*on_host, GetParam(), rank()));
}

TEST_P(GpuDispatchBesideHosts, gives_the_same_whatever_memory_held_before) {
  const auto on_host = make_all_to_all_token_dispatcher(hosts(), placement());
  const auto on_gpu =
      make_all_to_all_gpu_token_dispatcher(devices(), placement(), GetParam().parts);
  mark_new_memory(0x01);
  const Exchanged got = exchange_on_gpu(*on_gpu, GetParam(), rank());
  mark_new_memory(0xff);
  expect_same(got, exchange_on_host(*on_host, GetParam(), rank()));
}

TEST_P(GpuDispatch, follows_another_placement) {
  const auto on_host = make_all_to_all_token_dispatcher(hosts(), placement());
  const auto on_gpu =
      make_all_to_all_gpu_token_dispatcher(devices(), placement(), GetParam().parts);
  exchange_on_gpu(*on_gpu, GetParam(), rank());
  for (const Placed next : {Placed::kCut, Placed::kWhole}) {
    on_host->follow(placement_of(next, ranks()));
    on_gpu->follow(placement_of(next, ranks()));
    expect_same(exchange_on_gpu(*on_gpu, GetParam(), rank()),
                exchange_on_host(*on_host, GetParam(), rank()));
  }
}

/// Sum over the places of each row of gate * part of the expert, [R, 1] fp32 on the host.
at::Tensor row_weights(const GpuTokenExchange::Received& received, const Placement& placement,
                       int rank) {
  at::Tensor weights = at::zeros({received.x.size(0), 1}, at::TensorOptions(at::kFloat));
  const auto row = values_in<std::int64_t, std::int32_t>(received.places.row);
  const auto gate = values_in<float, float>(received.places.gate);
  const auto held = held_slices(placement.layers[0], 0, rank);
  std::size_t place = 0;
  for (std::size_t s = 0; s < held.size(); ++s) {
    for (std::int64_t i = 0; i < received.places.of_slice[s]; ++i, ++place) {
      weights.mutable_data_ptr<float>()[row[place]] +=
          gate[place] * static_cast<float>(held[s].slice.width()) / kWidth;
    }
  }
  return weights;
}

TEST_P(GpuDispatch, experts_that_copy_give_the_tokens_back) {
  const DispatchCase c = GetParam();
  const auto dispatcher =
      make_all_to_all_gpu_token_dispatcher(devices(), placement(), GetParam().parts);
  const at::Tensor x = values_of("x", c, rank());
  const auto exchange =
      dispatcher->start_dispatch(0, x.to(gpu_device()), there(routing_of(c.routed, rank())));
  std::vector<GpuTokenExchange::Received> received;
  std::vector<at::Tensor> weights;
  const auto weighted = [&](const at::Tensor& rows, int part) {
    return rows.to(at::kFloat).mul(weights[static_cast<std::size_t>(part)]).to(c.type);
  };
  for (int part = 0; part < exchange->parts(); ++part) {
    received.push_back(exchange->finish_dispatch(part));
    weights.push_back(row_weights(received.back(), placement(), rank()).to(gpu_device()));
    exchange->start_combine(part, weighted(received.back().x, part));
  }
  const at::Tensor y = exchange->finish_combine();
  exchange->start_dispatch_gradient(x.mul(2).to(gpu_device()));
  for (int part = 0; part < exchange->parts(); ++part) {
    const at::Tensor dy = exchange->finish_dispatch_gradient(part);
    exchange->start_combine_gradient(part, weighted(dy, part),
                                     received[static_cast<std::size_t>(part)].places.gate);
  }
  const GpuTokenExchange::Gradient gradient = exchange->finish_combine_gradient();
  const double tolerance = c.type == at::kFloat ? 1e-6 : 1e-2;
  ASSERT_EQ(y.sizes(), x.sizes());
  EXPECT_LT(relative_difference(y.to(at::kCPU), x), tolerance);
  EXPECT_LT(relative_difference(gradient.dx.to(at::kCPU), x.mul(2)), tolerance);
}

/// Runs of rows of the expert that the placement has.
std::int64_t runs_of(const Placement& placement, std::int32_t expert) {
  double runs = 0;
  for (const PlacedSlice& slice : placement.layers[0].slices) {
    if (slice.expert == expert) runs += slice.share;
  }
  return std::lround(runs);
}

TEST_P(GpuDispatchOfReplicas, one_replica_of_each_run_of_rows_serves_a_selection) {
  const Routing routing = routing_of(GetParam().routed, rank());
  const auto dispatcher =
      make_all_to_all_gpu_token_dispatcher(devices(), placement(), GetParam().parts);
  const auto exchange = dispatcher->start_dispatch(
      0, values_of("x", GetParam(), rank()).to(gpu_device()), there(routing));
  std::vector<at::Tensor> gates;
  for (int part = 0; part < exchange->parts(); ++part) {
    const GpuTokenExchange::Received received = exchange->finish_dispatch(part);
    check_places_of_rows(received.places, received.x.size(0));
    exchange->start_combine(part, received.x);
    gates.push_back(received.places.gate);
  }
  exchange->finish_combine();
  exchange->start_dispatch_gradient(values_of("dy", GetParam(), rank()).to(gpu_device()));
  for (int part = 0; part < exchange->parts(); ++part) {
    const at::Tensor dy = exchange->finish_dispatch_gradient(part);
    exchange->start_combine_gradient(part, dy, gates[static_cast<std::size_t>(part)]);
  }
  const auto dgates = values_in<float, float>(exchange->finish_combine_gradient().dgate);
  for (std::size_t s = 0; s < routing.expert.size(); ++s) {
    const auto runs = static_cast<float>(runs_of(placement(), routing.expert[s]));
    EXPECT_FLOAT_EQ(dgates[s], runs * static_cast<float>(routing.gate[s])) << s;
  }
}

TEST_P(GpuDispatchOfReplicas, a_replica_serves_its_share_of_every_ranks_tokens_to_within_one) {
  const auto dispatcher =
      make_all_to_all_gpu_token_dispatcher(devices(), placement(), GetParam().parts);
  const auto exchange =
      dispatcher->start_dispatch(0, values_of("x", GetParam(), rank()).to(gpu_device()),
                                 there(routing_of(GetParam().routed, rank())));
  const auto held = held_slices(placement().layers[0], 0, rank());
  std::vector<std::int64_t> served(held.size());
  for (int part = 0; part < exchange->parts(); ++part) {
    const auto of_slice = exchange->finish_dispatch(part).places.of_slice;
    for (std::size_t s = 0; s < served.size(); ++s) served[s] += of_slice[s];
  }
  for (std::size_t s = 0; s < held.size(); ++s) {
    double share = 0;
    double sources = 0;
    for (int source = 0; source < ranks(); ++source) {
      const auto experts = routing_of(GetParam().routed, source).expert;
      const auto selections = std::count(experts.begin(), experts.end(), held[s].slice.expert);
      share += held[s].share * static_cast<double>(selections);
      sources += selections > 0 ? 1 : 0;
    }
    EXPECT_NEAR(static_cast<double>(served[s]), share, sources) << s;
  }
}

/// Rows and pairs that one rank sends to another.
struct Sent {
  std::int64_t rows = 0;
  std::int64_t pairs = 0;
};

Sent sent_between(Routed routed, const Placement& placement, int from, int to) {
  Sent sent;
  const Routing routing = routing_of(routed, from);
  const auto held = held_slices(placement.layers[0], 0, to);
  for (std::int64_t t = 0; t < routing.tokens(); ++t) {
    std::int64_t pairs = 0;
    for (std::int64_t s = routing.offset[t]; s < routing.offset[t + 1]; ++s) {
      pairs += std::count_if(held.begin(), held.end(), [&](const HeldSlice& one) {
        return one.slice.expert == routing.expert[s];
      });
    }
    sent.pairs += pairs;
    sent.rows += pairs > 0 ? 1 : 0;
  }
  return sent;
}

TEST_P(GpuDispatchBesideHosts, sends_the_bytes_that_the_header_says) {
  const DispatchCase c = GetParam();
  const auto dispatcher =
      make_all_to_all_gpu_token_dispatcher(devices(), placement(), GetParam().parts);
  exchange_on_gpu(*dispatcher, c, rank());
  const std::int64_t row_bytes = c.features * (c.type == at::kFloat ? 4 : 2);
  ExchangedBytes expected;
  for (int peer = 0; peer < ranks(); ++peer) {
    if (peer == rank()) continue;
    const Sent out = sent_between(c.routed, placement(), rank(), peer);
    const Sent in = sent_between(c.routed, placement(), peer, rank());
    expected.dispatch += 12 * out.pairs + 2 * out.rows * row_bytes;
    expected.combine += 4 * in.pairs + 2 * in.rows * row_bytes;
  }
  EXPECT_EQ(dispatcher->bytes_sent().dispatch, expected.dispatch);
  EXPECT_EQ(dispatcher->bytes_sent().combine, expected.combine);
}

TEST_P(GpuDispatch, the_host_waits_once_and_not_before_it_must) {
  if (!kIsObserved) GTEST_SKIP() << "nobody counts waits here";
  const DispatchCase c = GetParam();
  const auto dispatcher =
      make_all_to_all_gpu_token_dispatcher(devices(), placement(), GetParam().parts);
  const at::Tensor x = values_of("x", c, rank()).to(gpu_device());
  const GpuRouting routing = there(routing_of(c.routed, rank()));
  const std::uint64_t before = host_waits_so_far();
  const auto exchange = dispatcher->start_dispatch(0, x, routing);
  EXPECT_EQ(host_waits_so_far(), before);
  std::vector<at::Tensor> gates;
  for (int part = 0; part < exchange->parts(); ++part) {
    const GpuTokenExchange::Received received = exchange->finish_dispatch(part);
    EXPECT_EQ(host_waits_so_far(), before + 1);
    exchange->start_combine(part, received.x);
    gates.push_back(received.places.gate);
  }
  exchange->finish_combine();
  exchange->start_dispatch_gradient(x);
  for (int part = 0; part < exchange->parts(); ++part) {
    const at::Tensor dy = exchange->finish_dispatch_gradient(part);
    exchange->start_combine_gradient(part, dy, gates[static_cast<std::size_t>(part)]);
  }
  exchange->finish_combine_gradient();
  EXPECT_EQ(host_waits_so_far(), before + 1);
}

TEST_P(GpuDispatch, all_parts_are_on_their_way_when_the_first_has_come) {
  const DispatchCase c = GetParam();
  const auto dispatcher = make_all_to_all_gpu_token_dispatcher(devices(), placement(), c.parts);
  const at::Tensor x = values_of("x", c, rank()).to(gpu_device());
  const auto exchange = dispatcher->start_dispatch(0, x, there(routing_of(c.routed, rank())));
  EXPECT_EQ(exchange->parts(), c.parts);
  const GpuTokenExchange::Received first = exchange->finish_dispatch(0);
  const std::int64_t sent = dispatcher->bytes_sent().dispatch;
  for (int part = 1; part < c.parts; ++part) exchange->finish_dispatch(part);
  EXPECT_EQ(dispatcher->bytes_sent().dispatch, sent);
}

const auto kWithoutReplicas = testing::Values(
    DispatchCase{.name = "whole"},
    DispatchCase{.name = "whole_bf16", .type = at::kBFloat16, .features = 37},
    DispatchCase{.name = "cut", .placed = Placed::kCut, .features = 16},
    DispatchCase{.name = "in_halves", .placed = Placed::kCut, .parts = 2},
    DispatchCase{.name = "more_parts_than_tokens", .parts = 8},
    DispatchCase{.name = "in_parts_to_one", .routed = Routed::kAllToOne, .parts = 3},
    DispatchCase{.name = "no_tokens_in_parts", .routed = Routed::kNothing, .parts = 2},
    DispatchCase{.name = "cut_bf16", .placed = Placed::kCut, .type = at::kBFloat16},
    DispatchCase{.name = "on_one_rank", .placed = Placed::kOnOneRank},
    DispatchCase{.name = "all_to_one", .routed = Routed::kAllToOne},
    DispatchCase{.name = "all_to_one_cut", .routed = Routed::kAllToOne, .placed = Placed::kCut},
    DispatchCase{.name = "no_tokens", .routed = Routed::kNothing, .placed = Placed::kCut});
const auto kWithReplicas = testing::Values(
    DispatchCase{.name = "replicated", .placed = Placed::kReplicated},
    DispatchCase{.name = "replicated_in_halves", .placed = Placed::kReplicated, .parts = 2},
    DispatchCase{.name = "replicated_all_to_one",
                 .routed = Routed::kAllToOne,
                 .placed = Placed::kReplicated},
    DispatchCase{.name = "replicated_bf16", .placed = Placed::kReplicated, .type = at::kBFloat16});

std::string name_of(const testing::TestParamInfo<DispatchCase>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Placed, GpuDispatch, kWithoutReplicas, name_of);
INSTANTIATE_TEST_SUITE_P(Replicated, GpuDispatch, kWithReplicas, name_of);
INSTANTIATE_TEST_SUITE_P(Placed, GpuDispatchBesideHosts, kWithoutReplicas, name_of);
INSTANTIATE_TEST_SUITE_P(Replicated, GpuDispatchOfReplicas, kWithReplicas, name_of);

}  // namespace
}  // namespace hetmoe::test
