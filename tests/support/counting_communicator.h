#pragma once

#include <memory>
#include <utility>

#include "tests/support/forwarding_communicator.h"

namespace hetmoe::test {

/// Counts the payload that its rank sends to other ranks in the collectives that owners use, as the
/// seam defines them.
class CountingCommunicator final : public ForwardingCommunicator {
 public:
  using ForwardingCommunicator::ForwardingCommunicator;

  std::int64_t bytes_sent() const { return bytes_sent_; }

  Pending reduce_scatter_v(ConstBuffer send, std::span<const std::int64_t> counts,
                           Buffer receive) override {
    add_all_but_own(counts, send.type);
    return ForwardingCommunicator::reduce_scatter_v(send, counts, receive);
  }
  Pending all_gather_v(Buffer values, std::span<const std::int64_t> counts) override {
    bytes_sent_ += counts[rank()] * (size() - 1) * bytes_of(values.type);
    return ForwardingCommunicator::all_gather_v(values, counts);
  }
  Pending all_to_all_v(ConstBuffer send, std::span<const std::int64_t> send_counts, Buffer receive,
                       std::span<const std::int64_t> receive_counts) override {
    add_all_but_own(send_counts, send.type);
    return ForwardingCommunicator::all_to_all_v(send, send_counts, receive, receive_counts);
  }

 private:
  void add_all_but_own(std::span<const std::int64_t> counts, DataType type) {
    for (int peer = 0; peer < size(); ++peer) {
      if (peer != rank()) bytes_sent_ += counts[peer] * bytes_of(type);
    }
  }

  std::int64_t bytes_sent_ = 0;
};

}  // namespace hetmoe::test
