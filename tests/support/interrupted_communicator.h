#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "tests/support/forwarding_communicator.h"

namespace hetmoe::test {

/// A communicator that calls `interrupt` in the place of its all-to-all number `calls` from now,
/// counted together with those of the communicators split off it.
class InterruptedCommunicator final : public ForwardingCommunicator {
 public:
  struct Countdown {
    std::int64_t calls = -1;  ///< negative: never
    std::function<void()> interrupt;
  };

  InterruptedCommunicator(std::unique_ptr<Communicator> inner, std::shared_ptr<Countdown> countdown)
      : ForwardingCommunicator(std::move(inner)), countdown_(std::move(countdown)) {}

  Pending all_to_all_v(ConstBuffer send, std::span<const std::int64_t> send_counts, Buffer receive,
                       std::span<const std::int64_t> receive_counts) override {
    if (countdown_->calls >= 0 && countdown_->calls-- == 0) countdown_->interrupt();
    return ForwardingCommunicator::all_to_all_v(send, send_counts, receive, receive_counts);
  }
  std::unique_ptr<Communicator> split(int color, int key) override {
    return std::make_unique<InterruptedCommunicator>(inner().split(color, key), countdown_);
  }

 private:
  std::shared_ptr<Countdown> countdown_;
};

}  // namespace hetmoe::test
