#pragma once

#include <memory>
#include <utility>

#include "core/base/stopwatch.h"
#include "tests/support/forwarding_communicator.h"

namespace hetmoe::bench {

/// Adds up the seconds that its rank spends in starting and in waiting for the collectives that
/// owners use.
class TimedCommunicator final : public test::ForwardingCommunicator {
 public:
  TimedCommunicator(std::unique_ptr<Communicator> inner, const Clock& clock)
      : ForwardingCommunicator(std::move(inner)), clock_(clock) {}

  double seconds() const { return *seconds_; }

  Pending reduce_scatter_v(ConstBuffer send, std::span<const std::int64_t> counts,
                           Buffer receive) override {
    return timed([&] { return ForwardingCommunicator::reduce_scatter_v(send, counts, receive); });
  }
  Pending all_gather_v(Buffer values, std::span<const std::int64_t> counts) override {
    return timed([&] { return ForwardingCommunicator::all_gather_v(values, counts); });
  }
  Pending all_to_all_v(ConstBuffer send, std::span<const std::int64_t> send_counts, Buffer receive,
                       std::span<const std::int64_t> receive_counts) override {
    return timed([&] {
      return ForwardingCommunicator::all_to_all_v(send, send_counts, receive, receive_counts);
    });
  }
  void progress() override {
    const Stopwatch watch(clock_, *seconds_);
    ForwardingCommunicator::progress();
  }

 private:
  class TimedWait final : public Pending::Operation {
   public:
    TimedWait(Pending pending, const Clock& clock, std::shared_ptr<double> seconds)
        : pending_(std::move(pending)), clock_(clock), seconds_(std::move(seconds)) {}
    void wait() override {
      const Stopwatch watch(clock_, *seconds_);
      pending_.wait();
    }
    bool done() override { return pending_.done(); }

   private:
    Pending pending_;
    const Clock& clock_;
    std::shared_ptr<double> seconds_;
  };

  template <typename Start>
  Pending timed(Start start) {
    const Stopwatch watch(clock_, *seconds_);
    return Pending(std::make_unique<TimedWait>(start(), clock_, seconds_));
  }

  const Clock& clock_;
  std::shared_ptr<double> seconds_ = std::make_shared<double>(0);
};

}  // namespace hetmoe::bench
