#pragma once

#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "core/model/token_dispatcher.h"
#include "parallel/communicator/communicator.h"
#include "parallel/placement/rank_nodes.h"

namespace hetmoe {

/// How many of something, by rank or by slice.
using Counts = std::vector<std::int64_t>;

inline std::int64_t sum(const Counts& counts) {
  return std::reduce(counts.begin(), counts.end(), std::int64_t{0});
}

inline Counts times(const Counts& counts, std::int64_t factor) {
  Counts product = counts;
  for (std::int64_t& count : product) count *= factor;
  return product;
}

/// A dispatcher's exchanges over its group, with payload to other ranks counted.
class Traffic {
 public:
  using Direction = std::int64_t ExchangedBytes::*;
  static constexpr Direction kDispatch = &ExchangedBytes::dispatch;
  static constexpr Direction kCombine = &ExchangedBytes::combine;

  /// `group` must outlive it.
  explicit Traffic(Communicator& group, RankNodes nodes = {})
      : group_(group), nodes_(std::move(nodes)) {}
  Communicator& group() const { return group_; }
  const RankNodes& nodes() const { return nodes_; }
  const ExchangedBytes& bytes_sent() const { return bytes_sent_; }

  /// As Communicator::all_to_all_v. Collective.
  Pending exchange(Direction direction, ConstBuffer send, const Counts& send_counts, Buffer receive,
                   const Counts& receive_counts) {
    const int own = group_.rank();
    for (int rank = 0; rank < group_.size(); ++rank) {
      const std::int64_t bytes = send_counts[rank] * bytes_of(send.type);
      if (rank != own) bytes_sent_.*direction += bytes;
      if (nodes_.are_apart(own, rank)) bytes_sent_.other_node += bytes;
    }
    return group_.all_to_all_v(send, send_counts, receive, receive_counts);
  }

 private:
  Communicator& group_;
  RankNodes nodes_;
  ExchangedBytes bytes_sent_;
};

}  // namespace hetmoe
