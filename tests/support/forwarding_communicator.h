#pragma once

#include <cstdlib>
#include <memory>
#include <utility>

#include "parallel/communicator/communicator.h"

namespace hetmoe::test {

/// All calls go to `inner`: what decorators for tests derive from.
class ForwardingCommunicator : public Communicator {
 public:
  explicit ForwardingCommunicator(std::unique_ptr<Communicator> inner) : inner_(std::move(inner)) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  MemoryKind memory() const override { return inner_->memory(); }
  Pending all_reduce(Buffer values, Reduction reduction) override {
    return inner_->all_reduce(values, reduction);
  }
  Pending reduce_scatter_v(ConstBuffer send, std::span<const std::int64_t> counts,
                           Buffer receive) override {
    return inner_->reduce_scatter_v(send, counts, receive);
  }
  Pending all_gather_v(Buffer values, std::span<const std::int64_t> counts) override {
    return inner_->all_gather_v(values, counts);
  }
  Pending all_to_all_v(ConstBuffer send, std::span<const std::int64_t> send_counts, Buffer receive,
                       std::span<const std::int64_t> receive_counts) override {
    return inner_->all_to_all_v(send, send_counts, receive, receive_counts);
  }
  Pending broadcast(Buffer values, int root) override { return inner_->broadcast(values, root); }
  void barrier() override { inner_->barrier(); }
  std::unique_ptr<Communicator> split(int color, int key) override {
    return inner_->split(color, key);
  }
  void progress() override { inner_->progress(); }
  [[noreturn]] void abort(const std::string& reason, int exit_code) override {
    inner_->abort(reason, exit_code);
    std::abort();  // GCC does not see through the pointer that this is not reached
  }

 protected:
  Communicator& inner() { return *inner_; }

 private:
  std::unique_ptr<Communicator> inner_;
};

}  // namespace hetmoe::test
