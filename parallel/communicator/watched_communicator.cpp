#include "parallel/communicator/watched_communicator.h"

#include <cstdlib>
#include <optional>
#include <utility>

namespace hetmoe {
namespace {

/// A scope in which this thread only waits for one collective.
class Waiting {
 public:
  Waiting(CollectiveLog& log, CollectiveRecord& record) : log_(log), record_(record) {
    log_.begin_wait(record_);
  }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  ~Waiting() { log_.end(record_); }

 private:
  CollectiveLog& log_;
  CollectiveRecord& record_;
};

class WatchedOperation final : public Pending::Operation {
 public:
  WatchedOperation(Pending inner, CollectiveLog& log, const CollectiveRecord& record)
      : inner_(std::move(inner)), log_(log), record_(record) {}

  ~WatchedOperation() override {
    if (ended_) return;
    const Waiting waiting(log_, record_);
    inner_.reset();  // waits, since nobody else did
  }

  void wait() override {
    if (ended_) return inner_->wait();
    ended_ = true;
    const Waiting waiting(log_, record_);
    inner_->wait();
  }

  bool done() override {
    if (!inner_->done()) return false;
    if (!ended_) log_.end(record_);
    ended_ = true;
    return true;
  }

 private:
  std::optional<Pending> inner_;
  CollectiveLog& log_;
  CollectiveRecord record_;
  bool ended_ = false;
};

std::int64_t size_bytes(ConstBuffer values) { return values.count * bytes_of(values.type); }

class WatchedCommunicator final : public Communicator {
 public:
  WatchedCommunicator(std::unique_ptr<Communicator> inner, CollectiveLog& log, std::string name)
      : inner_(std::move(inner)),
        log_(log),
        channel_(log.add_communicator(std::move(name), inner_->size())) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  MemoryKind memory() const override { return inner_->memory(); }

  Pending all_reduce(Buffer values, Reduction reduction) override {
    CollectiveRecord record = log_.start(channel_, "all_reduce", size_bytes(values));
    return observed(inner_->all_reduce(values, reduction), record);
  }

  Pending reduce_scatter_v(ConstBuffer send, std::span<const std::int64_t> counts,
                           Buffer receive) override {
    CollectiveRecord record = log_.start(channel_, "reduce_scatter_v", size_bytes(send));
    return observed(inner_->reduce_scatter_v(send, counts, receive), record);
  }

  Pending all_gather_v(Buffer values, std::span<const std::int64_t> counts) override {
    CollectiveRecord record = log_.start(channel_, "all_gather_v", size_bytes(values));
    return observed(inner_->all_gather_v(values, counts), record);
  }

  Pending all_to_all_v(ConstBuffer send, std::span<const std::int64_t> send_counts, Buffer receive,
                       std::span<const std::int64_t> receive_counts) override {
    CollectiveRecord record = log_.start(channel_, "all_to_all_v", size_bytes(send));
    return observed(inner_->all_to_all_v(send, send_counts, receive, receive_counts), record);
  }

  Pending broadcast(Buffer values, int root) override {
    CollectiveRecord record = log_.start(channel_, "broadcast", size_bytes(values));
    return observed(inner_->broadcast(values, root), record);
  }

  void barrier() override {
    CollectiveRecord record = log_.start(channel_, "barrier", 0);
    const Waiting waiting(log_, record);
    inner_->barrier();
  }

  std::unique_ptr<Communicator> split(int color, int key) override {
    CollectiveRecord record = log_.start(channel_, "split", 0);
    std::unique_ptr<Communicator> part;
    {
      const Waiting waiting(log_, record);
      part = inner_->split(color, key);
    }
    return watched(
        std::move(part), log_,
        channel_.name + "/" + std::to_string(record.sequence) + "." + std::to_string(color));
  }

  void progress() override { inner_->progress(); }

  [[noreturn]] void abort(const std::string& reason, int exit_code) override {
    inner_->abort(reason, exit_code);
    std::abort();  // GCC does not see through the pointer that this is not reached
  }

 private:
  Pending observed(Pending inner, const CollectiveRecord& record) {
    return Pending(std::make_unique<WatchedOperation>(std::move(inner), log_, record));
  }

  std::unique_ptr<Communicator> inner_;
  CollectiveLog& log_;
  CollectiveLog::Channel& channel_;
};

}  // namespace

std::unique_ptr<Communicator> watched(std::unique_ptr<Communicator> inner, CollectiveLog& log,
                                      std::string name) {
  if (inner->size() == 1) return inner;
  return std::make_unique<WatchedCommunicator>(std::move(inner), log, std::move(name));
}

}  // namespace hetmoe
