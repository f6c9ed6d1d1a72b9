#pragma once

#include <cstdint>
#include <numeric>
#include <vector>

#include "core/model/token_dispatcher.h"
#include "parallel/communicator/communicator.h"

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
  explicit Traffic(Communicator& group) : group_(group) {}
  Communicator& group() const { return group_; }
  const ExchangedBytes& bytes_sent() const { return bytes_sent_; }

  /// As Communicator::all_to_all_v. Collective.
  Pending exchange(Direction direction, ConstBuffer send, const Counts& send_counts, Buffer receive,
                   const Counts& receive_counts) {
    bytes_sent_.*direction += (sum(send_counts) - send_counts[group_.rank()]) * bytes_of(send.type);
    return group_.all_to_all_v(send, send_counts, receive, receive_counts);
  }

 private:
  Communicator& group_;
  ExchangedBytes bytes_sent_;
};

}  // namespace hetmoe
