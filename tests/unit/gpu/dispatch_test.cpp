#include "core/kernels/gpu/dispatch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/unit/gpu/device_array.h"
#include "tests/unit/gpu/dispatch_cases.h"
#include "tests/unit/gpu/elements.h"

namespace hetmoe::test {
namespace {

TEST(GpuDispatch, every_token_lists_the_slices_of_its_experts_and_one_row_for_each_rank) {
  for (const Case& c : cases()) {
    const OnDevice device(c);
    const auto pairs = pairs_on_host(c);
    Integers slice(device.room(), -1), row_rank = slice, selection = slice, first = slice;
    for (const Pair& pair : pairs) {
      slice[at(pair.index)] = pair.slice;
      selection[at(pair.index)] = pair.selection;
    }
    for (const Pair& one : first_pairs(pairs)) {
      row_rank[at(one.index)] = one.rank;
      for (const Pair& pair : pairs) {
        if (pair.token == one.token && pair.rank == one.rank)
          first[at(pair.index)] = static_cast<std::int32_t>(one.index);
      }
    }
    device.list();
    EXPECT_EQ(device.slice.values(), slice);
    EXPECT_EQ(device.row_rank.values(), row_rank);
    const Integers got_selection = device.selection.values(), got_first = device.first.values();
    for (const Pair& pair : pairs) {
      EXPECT_EQ(got_selection[at(pair.index)], selection[at(pair.index)]);
      EXPECT_EQ(got_first[at(pair.index)], first[at(pair.index)]);
    }
    same_in_any_turns([&] { return device.list(), device.slice.values(); });
  }
}

TEST(GpuDispatch, replicas_serve_their_shares_of_an_experts_tokens_to_within_one) {
  const Cuts cuts = {{{{0, 0, 0.2}, {1, 1, 0.5}, {2, 2, 0.3}}}};
  for (const std::int64_t tokens : {1, 2, 7, 100}) {
    Selected all{.tokens = tokens, .most = 1};
    for (std::int32_t t = 0; t < tokens; ++t) {
      all.expert.push_back(0);
      all.gate.push_back(1);
      all.offset.push_back(t + 1);
    }
    const OnDevice device(all, cuts);
    device.list();
    const Integers slice = device.slice.values();
    for (const Server& server : cuts[0][0]) {
      const auto served = std::count(slice.begin(), slice.end(), server.slice);
      EXPECT_LT(std::abs(static_cast<double>(served) - server.share * static_cast<double>(tokens)),
                1);
    }
  }
}

TEST(GpuDispatch, keys_of_selections_end_with_the_last_of_them) {
  for (const std::int64_t tokens : {1, 200}) {
    const Selected selected = select(tokens, 5, 3);
    Integers expected = selected.expert;
    expected.resize(at(3 * tokens), -1);
    const OnDevice device(selected, cut());
    const DeviceArray<std::int32_t> key(expected.size());
    gpu::list_experts(device.selections(), 3 * tokens, key.get(), nullptr);
    EXPECT_EQ(key.values(), expected);
  }
}

std::int32_t parts_of(const Case& c) {
  if (c.tokens_per_part == 0) return 1;
  return static_cast<std::int32_t>((c.selected.tokens + c.tokens_per_part - 1) / c.tokens_per_part);
}

/// What a source sends, by plain loops.
struct Sent {
  std::vector<gpu::PairOnWire> wire;
  Integers row_begin = {0}, row_token, token_rows;
};

Sent sent_by(const Case& c, std::int64_t rows_per_token) {
  const Selected& selected = c.selected;
  const auto pairs = pairs_on_host(c);
  const auto rows = sorted_by(first_pairs(pairs), &Pair::rank);
  Sent sent;
  sent.token_rows.assign(at(selected.tokens * rows_per_token), -1);
  std::vector<std::int64_t> taken(at(selected.tokens), 0);
  for (const Pair& row : rows) {
    sent.token_rows[at(row.token * rows_per_token + taken[at(row.token)]++)] =
        size_of(sent.row_token);
    sent.row_token.push_back(static_cast<std::int32_t>(row.token));
  }
  for (std::int32_t rank = 0; rank < parts_of(c) * kRanks; ++rank) {
    sent.row_begin.push_back(static_cast<std::int32_t>(std::count_if(
        rows.begin(), rows.end(), [&](const Pair& row) { return row.rank <= rank; })));
  }
  for (const Pair& pair : sorted_by(pairs, &Pair::slice)) {
    gpu::PairOnWire wire{.gate = selected.gate[at(pair.selection)]};
    for (const Pair& row : rows) wire.row += row.rank == pair.rank && row.token < pair.token;
    for (const Pair& other : pairs) {
      wire.place +=
          other.token == pair.token && other.rank == pair.rank && other.index < pair.index;
    }
    sent.wire.push_back(wire);
  }
  return sent;
}

TEST(GpuDispatch, a_source_writes_pairs_by_slice_and_rows_by_rank) {
  for (const Case& c : cases()) {
    const OnDevice device(c);
    const auto pairs = pairs_on_host(c);
    const auto room = static_cast<std::int64_t>(device.room());
    const std::int64_t rows_per_token = std::min<std::int64_t>(device.pairs_per_token, kRanks);
    const Sent expected = sent_by(c, rows_per_token);
    const DeviceArray<std::int32_t> pair_position(
        positions_of(sorted_by(pairs, &Pair::slice), room));
    const DeviceArray<std::int32_t> row_position(
        positions_of(sorted_by(first_pairs(pairs), &Pair::rank), room));
    const DeviceArray<std::int32_t> row_begin(expected.row_begin);
    const DeviceArray<gpu::PairOnWire> wire(pairs.size());
    const DeviceArray<std::int32_t> row_token(expected.row_token.size());
    const DeviceArray<std::int32_t> token_rows(expected.token_rows.size());
    device.list();
    const auto got = same_in_any_turns([&] {
      gpu::write_wire(device.selections(), device.pairs(),
                      {.pair_position = pair_position.get(),
                       .row_position = row_position.get(),
                       .row_begin = row_begin.get(),
                       .rows_per_token = rows_per_token,
                       .wire = wire.get(),
                       .row_token = row_token.get(),
                       .token_rows = token_rows.get()},
                      nullptr);
      return wire.values();
    });
    EXPECT_TRUE(same_bits(got, expected.wire)) << c.selected.tokens;
    EXPECT_EQ(row_token.values(), expected.row_token);
    EXPECT_EQ(token_rows.values(), expected.token_rows);
  }
}

/// What comes to a rank with so many slices: pairs_of[source][slice] pairs, of rows in order.
struct Received {
  std::vector<Integers> pairs_of;
  std::int64_t pairs_per_row;
};

void check_received(const Received& received) {
  const auto sources = static_cast<std::int64_t>(received.pairs_of.size());
  const auto slices = static_cast<std::int64_t>(received.pairs_of[0].size());
  const auto of = [&](std::int64_t source, std::int64_t slice) {
    return received.pairs_of[at(source)][at(slice)];
  };
  std::vector<gpu::PairOnWire> wire;
  Integers pair_begin = {0}, place_begin(at(sources * slices)), row_begin;
  std::int32_t rows = 0;
  for (std::int64_t source = 0; source < sources; ++source) {
    row_begin.push_back(rows);
    Integers used;  // pairs of each row of this source
    for (std::int64_t slice = 0; slice < slices; ++slice) {
      used.resize(std::max(used.size(), at(of(source, slice))), 0);
      for (std::int32_t row = 0; row < of(source, slice); ++row) {
        wire.push_back({row, used[at(row)]++, static_cast<float>(wire.size())});
      }
      pair_begin.push_back(static_cast<std::int32_t>(wire.size()));
    }
    rows += size_of(used);
  }
  std::int32_t next = 0;
  Integers expected_place(wire.size()), expected_row(wire.size());
  std::vector<float> expected_gate(wire.size());
  Integers expected_places(at(rows * received.pairs_per_row), -1);
  for (std::int64_t slice = 0; slice < slices; ++slice) {
    for (std::int64_t source = 0; source < sources; ++source) {
      place_begin[at(source * slices + slice)] = next;
      for (std::int32_t i = 0; i < of(source, slice); ++i, ++next) {
        const std::int32_t pair = pair_begin[at(source * slices + slice)] + i;
        const std::int32_t row = row_begin[at(source)] + wire[at(pair)].row;
        expected_place[at(pair)] = next;
        expected_row[at(next)] = row;
        expected_gate[at(next)] = wire[at(pair)].gate;
        expected_places[at(row * received.pairs_per_row + wire[at(pair)].place)] = next;
      }
    }
  }
  const DeviceArray<gpu::PairOnWire> device_wire(wire);
  const DeviceArray<std::int32_t> device_pair_begin(pair_begin), device_place_begin(place_begin),
      device_row_begin(row_begin), place(wire.size()), row(wire.size());
  const DeviceArray<float> gate(wire.size());
  const auto got = same_in_any_turns([&] {
    const DeviceArray<std::int32_t> places(Integers(expected_places.size(), -1));
    gpu::place_received(device_wire.get(),
                        {.pairs = static_cast<std::int64_t>(wire.size()),
                         .sources = sources,
                         .slices = slices,
                         .pair_begin = device_pair_begin.get(),
                         .place_begin = device_place_begin.get(),
                         .row_begin = device_row_begin.get(),
                         .pairs_per_row = received.pairs_per_row,
                         .place = place.get(),
                         .row = row.get(),
                         .gate = gate.get(),
                         .places = places.get()},
                        nullptr);
    return places.values();
  });
  EXPECT_EQ(got, expected_places);
  EXPECT_EQ(place.values(), expected_place);
  EXPECT_EQ(row.values(), expected_row);
  EXPECT_EQ(gate.values(), expected_gate);
}

TEST(GpuDispatch, a_destination_places_pairs_by_slice_and_then_by_source) {
  check_received({{{1}}, 1});
  check_received({{{3, 0, 5}, {0, 0, 0}, {2, 7, 1}}, 3});
  check_received({{{0, 0}, {0, 4}, {4, 0}, {0, 0}}, 4});  // nothing at both ends
  check_received({{{200, 31, 0, 64}, {1, 129, 300, 0}}, 4});
}

TEST(GpuDispatch, one_rank_places_a_token_at_the_positions_of_its_pairs) {
  for (const Case& c : cases()) {
    const OnDevice device(c);
    const auto sorted = sorted_by(pairs_on_host(c), &Pair::slice);
    const Integers position = positions_of(sorted, static_cast<std::int64_t>(device.room()));
    const DeviceArray<std::int32_t> pair_position(position), row(sorted.size()),
        places(device.room());
    const DeviceArray<float> gate(sorted.size());
    device.list();
    gpu::place_local(device.selections(), device.pairs(),
                     {.pair_position = pair_position.get(),
                      .row = row.get(),
                      .gate = gate.get(),
                      .places = places.get()},
                     nullptr);
    EXPECT_EQ(places.values(), position);
    const Integers got_row = row.values();
    const std::vector<float> got_gate = gate.values();
    for (std::size_t place = 0; place < sorted.size(); ++place) {
      EXPECT_EQ(got_row[place], sorted[place].token);
      EXPECT_EQ(got_gate[place], c.selected.gate[at(sorted[place].selection)]);
    }
  }
}

TEST(GpuDispatch, a_selections_gate_gradient_is_the_sum_over_its_slices_in_order) {
  for (const Case& c : cases()) {
    const OnDevice device(c);
    const auto pairs = pairs_on_host(c);
    const Integers position =
        positions_of(sorted_by(pairs, &Pair::slice), static_cast<std::int64_t>(device.room()));
    const auto of_pair = random_elements<float>(pairs.size(), 1e3);
    std::vector<float> expected(c.selected.expert.size(), 0);
    for (const Pair& pair : pairs) {
      expected[at(pair.selection)] += of_pair[at(position[at(pair.index)])];
    }
    const DeviceArray<std::int32_t> pair_position(position);
    const DeviceArray<float> dgate_of_pair(of_pair), dgate(expected.size());
    device.list();
    gpu::sum_gate_gradients(device.selections(), device.pairs(), pair_position.get(),
                            dgate_of_pair.get(), dgate.get(), nullptr);
    EXPECT_TRUE(same_bits(dgate.values(), expected)) << c.selected.tokens;
  }
}

TEST(GpuDispatch, no_tokens_launch_nothing) {
  const std::uint64_t before = launches_so_far();
  gpu::list_experts({}, 0, nullptr, nullptr);
  gpu::list_pairs({}, {}, {}, {}, {}, nullptr);
  gpu::write_wire({}, {}, {}, nullptr);
  gpu::place_received(nullptr, {}, nullptr);
  gpu::place_local({}, {}, {}, nullptr);
  gpu::sum_gate_gradients({}, {}, nullptr, nullptr, nullptr, nullptr);
  EXPECT_EQ(launches_so_far(), before);
}

}  // namespace
}  // namespace hetmoe::test
