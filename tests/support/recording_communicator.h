#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/forwarding_communicator.h"

namespace hetmoe::test {

/// Writes down the collectives that owners use: "reduce_scatter_v 120" where one of 120 elements
/// (sent, of all ranks) is started, "waited for reduce_scatter_v 120" once it was waited for.
class RecordingCommunicator final : public ForwardingCommunicator {
 public:
  using ForwardingCommunicator::ForwardingCommunicator;

  std::vector<std::string>& log() { return *log_; }

  Pending reduce_scatter_v(ConstBuffer send, std::span<const std::int64_t> counts,
                           Buffer receive) override {
    return record("reduce_scatter_v", send.count,
                  ForwardingCommunicator::reduce_scatter_v(send, counts, receive));
  }
  Pending all_gather_v(Buffer values, std::span<const std::int64_t> counts) override {
    return record("all_gather_v", values.count,
                  ForwardingCommunicator::all_gather_v(values, counts));
  }
  Pending all_to_all_v(ConstBuffer send, std::span<const std::int64_t> send_counts, Buffer receive,
                       std::span<const std::int64_t> receive_counts) override {
    return record("all_to_all_v", send.count,
                  ForwardingCommunicator::all_to_all_v(send, send_counts, receive, receive_counts));
  }

 private:
  using Log = std::vector<std::string>;

  class Recorded final : public Pending::Operation {
   public:
    Recorded(Pending pending, std::string name, std::shared_ptr<Log> log)
        : pending_(std::move(pending)), name_(std::move(name)), log_(std::move(log)) {}
    void wait() override {
      pending_.wait();
      log_->push_back("waited for " + name_);
    }
    bool done() override { return pending_.done(); }

   private:
    Pending pending_;
    std::string name_;
    std::shared_ptr<Log> log_;
  };

  Pending record(const std::string& operation, std::int64_t count, Pending pending) {
    const std::string name = operation + " " + std::to_string(count);
    log_->push_back(name);
    return Pending(std::make_unique<Recorded>(std::move(pending), name, log_));
  }

  std::shared_ptr<Log> log_ = std::make_shared<Log>();
};

}  // namespace hetmoe::test
