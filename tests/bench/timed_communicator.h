#pragma once

#include <memory>
#include <utility>

#include "tests/bench/stopwatch.h"
#include "tests/support/forwarding_communicator.h"

namespace hetmoe::bench {

/// Seconds that one rank spends in collectives.
struct CollectiveSeconds {
  double waiting = 0;
  double starting = 0;  ///< and in driving what is under way
};

/// Adds up the seconds that its rank spends in the collectives that owners use.
class TimedCommunicator final : public test::ForwardingCommunicator {
 public:
  TimedCommunicator(std::unique_ptr<Communicator> inner, const Clock& clock)
      : ForwardingCommunicator(std::move(inner)), clock_(clock) {}

  const CollectiveSeconds& seconds() const { return *seconds_; }

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
    const Stopwatch watch(clock_, seconds_->starting);
    ForwardingCommunicator::progress();
  }

 private:
  class TimedWait final : public Pending::Operation {
   public:
    TimedWait(Pending pending, const Clock& clock, std::shared_ptr<CollectiveSeconds> seconds)
        : pending_(std::move(pending)), clock_(clock), seconds_(std::move(seconds)) {}
    void wait() override {
      const Stopwatch watch(clock_, seconds_->waiting);
      pending_.wait();
    }
    bool done() override { return pending_.done(); }

   private:
    Pending pending_;
    const Clock& clock_;
    std::shared_ptr<CollectiveSeconds> seconds_;
  };

  template <typename Start>
  Pending timed(Start start) {
    const Stopwatch watch(clock_, seconds_->starting);
    return Pending(std::make_unique<TimedWait>(start(), clock_, seconds_));
  }

  const Clock& clock_;
  std::shared_ptr<CollectiveSeconds> seconds_ = std::make_shared<CollectiveSeconds>();
};

}  // namespace hetmoe::bench
