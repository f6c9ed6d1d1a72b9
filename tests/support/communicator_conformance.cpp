#include "tests/support/communicator_conformance.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <optional>

namespace hetmoe::test {
namespace {

std::size_t index_of(int rank) { return static_cast<std::size_t>(rank); }

template <typename T>
T reduced(Reduction reduction, T total, T next) {
  if (reduction == Reduction::kMin) return next < total ? next : total;
  if (reduction == Reduction::kMax) return next > total ? next : total;
  return total + next;
}

template <typename T>
std::vector<T> expected_reduction(Reduction reduction, int seed, int size, std::int64_t count) {
  std::vector<T> total = values_of<T>(seed, 0, count);
  for (int rank = 1; rank < size; ++rank) {
    const std::vector<T> next = values_of<T>(seed, rank, count);
    for (std::size_t i = 0; i < total.size(); ++i) total[i] = reduced(reduction, total[i], next[i]);
  }
  return total;
}

template <typename T>
void check_all_reduce_of(const PlacedGroup& at, std::int64_t largest_count) {
  Communicator& group = at.communicator;
  int seed = 100;
  for (const std::int64_t count : lengths_up_to(largest_count)) {
    for (const Reduction reduction : {Reduction::kSum, Reduction::kMin, Reduction::kMax}) {
      ++seed;
      Placed<T> values(at, values_of<T>(seed, group.rank(), count));
      group.all_reduce(values.buffer(), reduction).wait();
      ASSERT_TRUE(
          same_bits(values.values(), expected_reduction<T>(reduction, seed, group.size(), count)))
          << "type " << static_cast<int>(data_type_of<T>()) << " count " << count << " reduction "
          << static_cast<int>(reduction);
    }
  }
}

void check_all_reduce(const PlacedGroup& at, std::int64_t largest_count) {
  ASSERT_NO_FATAL_FAILURE(check_all_reduce_of<float>(at, largest_count));
  ASSERT_NO_FATAL_FAILURE(check_all_reduce_of<double>(at, largest_count));
  ASSERT_NO_FATAL_FAILURE(check_all_reduce_of<std::int64_t>(at, largest_count));
}

void check_nan_wins(const PlacedGroup& at, std::int64_t) {
  Communicator& group = at.communicator;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (int holder = 0; holder < group.size(); ++holder) {
    for (const Reduction reduction : {Reduction::kSum, Reduction::kMin, Reduction::kMax}) {
      Placed<float> placed(at, {group.rank() == holder ? nan : 1.0F, 2.0F});
      group.all_reduce(placed.buffer(), reduction).wait();
      const std::vector<float> values = placed.values();
      ASSERT_TRUE(std::isnan(values[0])) << "holder " << holder;
      ASSERT_EQ(values[1],
                reduction == Reduction::kSum ? 2.0F * static_cast<float>(group.size()) : 2.0F);
    }
  }
}

template <typename T>
void check_reduce_scatter_of(const PlacedGroup& at, std::int64_t largest_count) {
  Communicator& group = at.communicator;
  int seed = 200;
  for (const std::int64_t length : lengths_up_to(largest_count)) {
    ++seed;
    const std::vector<std::int64_t> counts = uneven_parts(seed, group.size(), length);
    const std::int64_t total = total_of(counts);
    Placed<T> send(at, values_of<T>(seed, group.rank(), total));
    Placed<T> placed = room_for<T>(at, counts[index_of(group.rank())]);
    group.reduce_scatter_v(send.buffer(), counts, placed.buffer()).wait();
    const std::vector<T> receive = placed.values();
    const std::vector<T> all = expected_reduction<T>(Reduction::kSum, seed, group.size(), total);
    std::int64_t begin = 0;
    for (int r = 0; r < group.rank(); ++r) begin += counts[index_of(r)];
    const std::vector<T> expected(all.begin() + begin,
                                  all.begin() + begin + static_cast<std::int64_t>(receive.size()));
    ASSERT_TRUE(same_bits(receive, expected)) << "length " << length;
    ASSERT_TRUE(same_bits(send.values(), values_of<T>(seed, group.rank(), total)))
        << "sent values changed";
  }
}

void check_reduce_scatter(const PlacedGroup& at, std::int64_t largest_count) {
  ASSERT_NO_FATAL_FAILURE(check_reduce_scatter_of<float>(at, largest_count));
  ASSERT_NO_FATAL_FAILURE(check_reduce_scatter_of<double>(at, largest_count));
  ASSERT_NO_FATAL_FAILURE(check_reduce_scatter_of<std::int64_t>(at, largest_count));
}

template <typename T>
void check_all_gather_of(const PlacedGroup& at, std::int64_t largest_count) {
  Communicator& group = at.communicator;
  int seed = 300;
  for (const std::int64_t length : lengths_up_to(largest_count)) {
    ++seed;
    const std::vector<std::int64_t> counts = uneven_parts(seed, group.size(), length);
    std::vector<T> values, expected;
    for (int r = 0; r < group.size(); ++r) {
      const std::vector<T> part = values_of<T>(seed, r, counts[index_of(r)]);
      expected.insert(expected.end(), part.begin(), part.end());
      if (r == group.rank())
        values.insert(values.end(), part.begin(), part.end());
      else
        values.resize(values.size() + part.size());
    }
    Placed<T> placed(at, values);
    group.all_gather_v(placed.buffer(), counts).wait();
    ASSERT_TRUE(same_bits(placed.values(), expected)) << "length " << length;
  }
}

// Elements that rank `from` sends to rank `to`: uneven, and every third pair none.
std::int64_t pair_count(int seed, int from, int to, std::int64_t length) {
  return (from + 2 * to + seed) % 3 == 0 ? 0 : length * (1 + (from + to) % 3) / 3;
}

template <typename T>
void check_all_to_all_of(const PlacedGroup& at, std::int64_t largest_count) {
  Communicator& group = at.communicator;
  int seed = 400;
  for (const std::int64_t length : lengths_up_to(largest_count)) {
    ++seed;
    std::vector<std::int64_t> send_counts, receive_counts;
    std::vector<T> send, expected;
    for (int peer = 0; peer < group.size(); ++peer) {
      send_counts.push_back(pair_count(seed, group.rank(), peer, length));
      receive_counts.push_back(pair_count(seed, peer, group.rank(), length));
      const auto out = values_of<T>(seed, 100 * group.rank() + peer, send_counts.back());
      const auto in = values_of<T>(seed, 100 * peer + group.rank(), receive_counts.back());
      send.insert(send.end(), out.begin(), out.end());
      expected.insert(expected.end(), in.begin(), in.end());
    }
    Placed<T> placed(at, send);
    Placed<T> receive = room_for<T>(at, total_of(receive_counts));
    group.all_to_all_v(placed.buffer(), send_counts, receive.buffer(), receive_counts).wait();
    ASSERT_TRUE(same_bits(receive.values(), expected)) << "length " << length;
  }
}

template <typename T>
void check_broadcast_of(const PlacedGroup& at, std::int64_t largest_count) {
  Communicator& group = at.communicator;
  int seed = 500;
  for (const std::int64_t count : lengths_up_to(largest_count)) {
    const int root = ++seed % group.size();
    Placed<T> values(at, values_of<T>(seed, group.rank(), count));
    group.broadcast(values.buffer(), root).wait();
    ASSERT_TRUE(same_bits(values.values(), values_of<T>(seed, root, count))) << "count " << count;
  }
}

template <template <typename> typename Check>
void for_all_types(const PlacedGroup& at, std::int64_t largest_count) {
  ASSERT_NO_FATAL_FAILURE(Check<float>::run(at, largest_count));
  ASSERT_NO_FATAL_FAILURE(Check<double>::run(at, largest_count));
  ASSERT_NO_FATAL_FAILURE(Check<std::int64_t>::run(at, largest_count));
  ASSERT_NO_FATAL_FAILURE(Check<BFloat16Bits>::run(at, largest_count));
  ASSERT_NO_FATAL_FAILURE(Check<std::uint8_t>::run(at, largest_count));
}

template <typename T>
struct AllGather {
  static constexpr auto* run = check_all_gather_of<T>;
};
template <typename T>
struct AllToAll {
  static constexpr auto* run = check_all_to_all_of<T>;
};
template <typename T>
struct Broadcast {
  static constexpr auto* run = check_broadcast_of<T>;
};

// One rank holds everything, all others nothing.
void check_one_rank_gets_all(const PlacedGroup& at, std::int64_t largest_count) {
  Communicator& group = at.communicator;
  largest_count *= 3;  // more than an implementation takes at once
  const int owner = group.size() - 1;
  std::vector<std::int64_t> counts(index_of(group.size()), 0);
  counts[index_of(owner)] = largest_count;
  Placed<float> send(at, values_of<float>(1, group.rank(), largest_count));
  Placed<float> receive = room_for<float>(at, counts[index_of(group.rank())]);
  group.reduce_scatter_v(send.buffer(), counts, receive.buffer()).wait();
  const auto sums = expected_reduction<float>(Reduction::kSum, 1, group.size(), largest_count);
  if (group.rank() == owner) {
    ASSERT_TRUE(same_bits(receive.values(), sums));
  }
  std::vector<float> own = receive.values();
  own.resize(static_cast<std::size_t>(largest_count));
  Placed<float> gathered(at, own);
  group.all_gather_v(gathered.buffer(), counts).wait();
  ASSERT_TRUE(same_bits(gathered.values(), sums));
}

void check_empty_buffers_without_memory(const PlacedGroup& at, std::int64_t) {
  Communicator& group = at.communicator;
  const std::vector<std::int64_t> none(index_of(group.size()), 0);
  const Buffer empty{nullptr, 0, DataType::kFloat32};
  group.all_reduce(empty, Reduction::kSum).wait();
  group.reduce_scatter_v(empty, none, empty).wait();
  group.all_gather_v(empty, none).wait();
  group.all_to_all_v(empty, none, empty, none).wait();
  group.broadcast(empty, 0).wait();
  group.barrier();
}

// Three operations of each of two groups under way, waited for in an order that differs by rank:
// staged operations of peers must go on while a rank waits for another one.
void check_overlap(const PlacedGroup& at, std::int64_t largest_count) {
  Communicator& group = at.communicator;
  const auto other = group.split(0, group.rank());
  std::vector<Placed<float>> sums, pieces;
  std::vector<Pending> pending;
  const std::vector<std::int64_t> counts = uneven_parts(1, group.size(), largest_count);
  Placed<float> send(at, values_of<float>(77, group.rank(), total_of(counts)));
  sums.reserve(6);
  pieces.reserve(6);
  for (int i = 0; i < 3; ++i) {
    for (Communicator* communicator : {&group, other.get()}) {
      const int seed = static_cast<int>(sums.size());
      sums.emplace_back(at, values_of<float>(seed, group.rank(), largest_count));
      pending.push_back(communicator->all_reduce(sums.back().buffer(), Reduction::kSum));
      pieces.push_back(room_for<float>(at, counts[index_of(group.rank())]));
      pending.push_back(
          communicator->reduce_scatter_v(send.buffer(), counts, pieces.back().buffer()));
    }
  }
  for (std::size_t i = 0; i < pending.size(); ++i)
    pending[group.rank() % 2 == 0 ? i : pending.size() - 1 - i].wait();
  for (std::size_t i = 0; i < sums.size(); ++i) {
    ASSERT_TRUE(
        same_bits(sums[i].values(), expected_reduction<float>(Reduction::kSum, static_cast<int>(i),
                                                              group.size(), largest_count)));
    ASSERT_TRUE(same_bits(pieces[i].values(), pieces[0].values()));
  }
}

void check_done_without_wait(const PlacedGroup& at, std::int64_t largest_count) {
  Communicator& group = at.communicator;
  Placed<double> values(at, values_of<double>(9, group.rank(), largest_count));
  {
    Pending pending = group.all_reduce(values.buffer(), Reduction::kSum);
    while (!pending.done()) group.progress();
    ASSERT_TRUE(pending.done()) << "done() stays true";
  }
  const auto expected = expected_reduction<double>(Reduction::kSum, 9, group.size(), largest_count);
  ASSERT_TRUE(same_bits(values.values(), expected));
}

void check_destruction_waits(const PlacedGroup& at, std::int64_t largest_count) {
  Communicator& group = at.communicator;
  Placed<float> values(at, values_of<float>(10, group.rank(), largest_count));
  { const Pending pending = group.all_reduce(values.buffer(), Reduction::kSum); }
  const auto expected = expected_reduction<float>(Reduction::kSum, 10, group.size(), largest_count);
  ASSERT_TRUE(same_bits(values.values(), expected));
}

void check_split(const PlacedGroup& at, std::int64_t) {
  Communicator& group = at.communicator;
  // Odd and even ranks, in reverse order.
  const auto half = group.split(group.rank() % 2, -group.rank());
  const int members = (group.size() + 1 - group.rank() % 2) / 2;
  ASSERT_EQ(half->size(), members);
  ASSERT_EQ(half->rank(), members - 1 - group.rank() / 2);
  Placed<std::int64_t> sum(at, {group.rank()});
  half->all_reduce(sum.buffer(), Reduction::kSum).wait();
  std::int64_t expected = 0;
  for (int r = group.rank() % 2; r < group.size(); r += 2) expected += r;
  ASSERT_EQ(sum.values()[0], expected);

  const auto alone = group.split(group.rank(), 0);  // groups of one, and a group of a group
  ASSERT_EQ(alone->size(), 1);
  const auto same = half->split(5, 0);  // equal keys: the old order
  ASSERT_EQ(same->rank(), half->rank());
  const auto duplicate = group.split(0, group.rank());
  ASSERT_EQ(duplicate->rank(), group.rank());
  ASSERT_EQ(duplicate->size(), group.size());
}

void check_many_small(const PlacedGroup& at, std::int64_t) {
  Communicator& group = at.communicator;
  for (int i = 0; i < 1000; ++i) {
    Placed<std::int64_t> value(at, {group.rank() + i});
    group.all_reduce(value.buffer(), Reduction::kMax).wait();
    ASSERT_EQ(value.values()[0], group.size() - 1 + i);
  }
}

void check_many_in_flight(const PlacedGroup& at, std::int64_t) {
  Communicator& group = at.communicator;
  Placed<std::int64_t> values(at, std::vector<std::int64_t>(1000, group.rank()));
  std::vector<Pending> pending;
  for (int i = 0; i < 1000; ++i)
    pending.push_back(group.all_reduce(values.part(i, 1), Reduction::kSum));
  for (Pending& one : pending) one.wait();
  const std::int64_t expected = group.size() * (group.size() - 1) / 2;
  ASSERT_EQ(values.values(), std::vector<std::int64_t>(1000, expected));
}

// A broadcast of different roots in a row: a message overtaken by the next would show.
void check_order(const PlacedGroup& at, std::int64_t) {
  Communicator& group = at.communicator;
  std::vector<std::int64_t> expected;
  std::vector<std::int64_t> own;
  for (int i = 0; i < 200; ++i) {
    expected.push_back(i);
    own.push_back(group.rank() == i % group.size() ? i : -1);
  }
  Placed<std::int64_t> values(at, own);
  std::vector<Pending> pending;
  for (int i = 0; i < 200; ++i)
    pending.push_back(group.broadcast(values.part(i, 1), i % group.size()));
  for (Pending& one : pending) one.wait();
  ASSERT_EQ(values.values(), expected);
}

void check_repeatable_bits(const PlacedGroup& at, std::int64_t largest_count) {
  Communicator& group = at.communicator;
  std::optional<std::vector<float>> first;
  for (int repetition = 0; repetition < 5; ++repetition) {
    Placed<float> placed(at, values_of<float>(11, group.rank(), largest_count));
    group.all_reduce(placed.buffer(), Reduction::kSum).wait();
    const std::vector<float> values = placed.values();
    if (!first) first = values;
    ASSERT_TRUE(same_bits(values, *first)) << "repetition " << repetition;
  }
}

void check_barrier(const PlacedGroup& at, std::int64_t) {
  Communicator& group = at.communicator;
  for (int i = 0; i < 20; ++i) group.barrier();
}

constexpr std::array kCases = {
    ConformanceCase{"all_reduce_reduces_in_rank_order", check_all_reduce},
    ConformanceCase{"a_nan_wins_every_reduction", check_nan_wins},
    ConformanceCase{"reduce_scatter_v_sums_in_rank_order", check_reduce_scatter},
    ConformanceCase{"all_gather_v_fills_all_parts", for_all_types<AllGather>},
    ConformanceCase{"all_to_all_v_exchanges_uneven_parts", for_all_types<AllToAll>},
    ConformanceCase{"broadcast_takes_the_roots_values", for_all_types<Broadcast>},
    ConformanceCase{"one_rank_may_hold_everything", check_one_rank_gets_all},
    ConformanceCase{"empty_buffers_need_no_memory", check_empty_buffers_without_memory},
    ConformanceCase{"operations_of_two_groups_overlap", check_overlap},
    ConformanceCase{"done_becomes_true_without_wait", check_done_without_wait},
    ConformanceCase{"destroying_a_pending_waits", check_destruction_waits},
    ConformanceCase{"split_orders_by_key_then_rank", check_split},
    ConformanceCase{"a_thousand_small_operations_in_a_row", check_many_small},
    ConformanceCase{"a_thousand_operations_in_flight", check_many_in_flight},
    ConformanceCase{"operations_keep_their_order", check_order},
    ConformanceCase{"equal_inputs_give_equal_bits", check_repeatable_bits},
    ConformanceCase{"barrier_returns", check_barrier},
};

}  // namespace

std::span<const ConformanceCase> communicator_conformance_cases() { return kCases; }

}  // namespace hetmoe::test
