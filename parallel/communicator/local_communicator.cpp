#include "parallel/communicator/local_communicator.h"

#include <cstdio>
#include <exception>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"
#include "parallel/communicator/collective_checks.h"
#include "parallel/communicator/local_group.h"

namespace hetmoe {
namespace {

void fail_job(LocalJob& job, int rank, const std::string& message) {
  {
    const std::scoped_lock guard(job.mutex);
    if (job.failed_rank >= 0) return;
    job.failed_rank = rank;
    job.failure = message;
  }
  job.changed.notify_all();
}

class LocalPending final : public Pending::Operation {
 public:
  LocalPending(std::shared_ptr<LocalGroup> group, int rank, std::shared_ptr<LocalMeeting> meeting)
      : group_(std::move(group)),
        rank_(rank),
        meeting_(std::move(meeting)),
        exceptions_at_start_(std::uncaught_exceptions()) {}

  ~LocalPending() override {
    if (waited_) return;
    const bool unwinding = std::uncaught_exceptions() > exceptions_at_start_;
    try {
      if (!unwinding) group_->wait(*meeting_);
    } catch (const Error& error) {
      // Nothing throws from a destructor: the ranks learn of it at their next wait.
      fail_job(group_->job(), group_->world_rank(rank_), error.what());
    }
    group_->withdraw(rank_, *meeting_);
  }

  void wait() override {
    waited_ = true;
    try {
      group_->wait(*meeting_);
    } catch (...) {
      group_->withdraw(rank_, *meeting_);
      throw;
    }
  }

  bool done() override { return group_->done(*meeting_); }

 private:
  std::shared_ptr<LocalGroup> group_;
  int rank_;
  std::shared_ptr<LocalMeeting> meeting_;
  int exceptions_at_start_;
  bool waited_ = false;
};

class LocalCommunicator final : public Communicator {
 public:
  LocalCommunicator(std::shared_ptr<LocalGroup> group, int rank)
      : group_(std::move(group)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return group_->size(); }
  MemoryKind memory() const override { return MemoryKind::kHost; }

  Pending all_reduce(Buffer values, Reduction reduction) override {
    check_reduction("all_reduce", values);
    return start(
        {.operation = "all_reduce", .send = values, .receive = values, .reduction = reduction});
  }

  Pending reduce_scatter_v(ConstBuffer send, std::span<const std::int64_t> counts,
                           Buffer receive) override {
    check_reduction("reduce_scatter_v", send);
    check_reduction("reduce_scatter_v", receive);
    check_two_buffers("reduce_scatter_v", send, receive);
    check_parts("reduce_scatter_v", counts, size(), send.count);
    const std::int64_t own = counts[static_cast<std::size_t>(rank_)];
    HETMOE_CHECK(receive.count == own, "reduce_scatter_v: receives ", receive.count,
                 " elements, counts say ", own);
    return start({.operation = "reduce_scatter_v",
                  .send = send,
                  .receive = receive,
                  .send_counts = {counts.begin(), counts.end()}});
  }

  Pending all_gather_v(Buffer values, std::span<const std::int64_t> counts) override {
    check_buffer("all_gather_v", values);
    check_parts("all_gather_v", counts, size(), values.count);
    return start({.operation = "all_gather_v",
                  .send = values,
                  .receive = values,
                  .send_counts = {counts.begin(), counts.end()}});
  }

  Pending all_to_all_v(ConstBuffer send, std::span<const std::int64_t> send_counts, Buffer receive,
                       std::span<const std::int64_t> receive_counts) override {
    check_two_buffers("all_to_all_v", send, receive);
    check_parts("all_to_all_v (send)", send_counts, size(), send.count);
    check_parts("all_to_all_v (receive)", receive_counts, size(), receive.count);
    return start({.operation = "all_to_all_v",
                  .send = send,
                  .receive = receive,
                  .send_counts = {send_counts.begin(), send_counts.end()},
                  .receive_counts = {receive_counts.begin(), receive_counts.end()}});
  }

  Pending broadcast(Buffer values, int root) override {
    check_buffer("broadcast", values);
    check_root("broadcast", root, size());
    return start({.operation = "broadcast", .send = values, .receive = values, .root = root});
  }

  void barrier() override { start({.operation = "barrier"}).wait(); }

  std::unique_ptr<Communicator> split(int color, int key) override {
    HETMOE_CHECK(color >= 0, "split: color ", color);
    const auto meeting =
        group_->join(rank_, ++sequence_, {.operation = "split", .color = color, .key = key});
    group_->wait(*meeting);
    const auto& [group, rank] = meeting->parts[static_cast<std::size_t>(rank_)];
    return std::make_unique<LocalCommunicator>(group, rank);
  }

  void progress() override {}  // the last rank to join has moved everything

  [[noreturn]] void abort(const std::string& reason, int exit_code) override {
    const std::string message =
        detail::concatenate("aborted with exit code ", exit_code, ": ", reason);
    std::fprintf(stderr, "rank %d of %d: %s\n", rank_, size(), reason.c_str());
    fail_job(group_->job(), group_->world_rank(rank_), message);
    throw CommunicationError(detail::concatenate("rank ", group_->world_rank(rank_), " ", message));
  }

 private:
  Pending start(LocalContribution contribution) {
    auto meeting = group_->join(rank_, ++sequence_, std::move(contribution));
    return Pending(std::make_unique<LocalPending>(group_, rank_, std::move(meeting)));
  }

  std::shared_ptr<LocalGroup> group_;
  int rank_;
  std::int64_t sequence_ = 0;
};

}  // namespace

LocalWorld::LocalWorld(int size) {
  HETMOE_CHECK(size > 0, "a world of ", size, " ranks");
  std::vector<int> members(static_cast<std::size_t>(size));
  std::iota(members.begin(), members.end(), 0);
  job_ = std::make_shared<LocalJob>(size);
  group_ = std::make_shared<LocalGroup>(job_, std::move(members));
}

LocalWorld::~LocalWorld() = default;

std::unique_ptr<Communicator> LocalWorld::communicator(int rank) {
  check_root("LocalWorld::communicator", rank, group_->size());
  return std::make_unique<LocalCommunicator>(group_, rank);
}

void LocalWorld::fail(int rank, const std::string& message) { fail_job(*job_, rank, message); }

void LocalWorld::leave(int rank) {
  {
    const std::scoped_lock guard(job_->mutex);
    job_->left.at(static_cast<std::size_t>(rank)) = true;
  }
  job_->changed.notify_all();
}

int LocalWorld::first_failed_rank() const {
  const std::scoped_lock guard(job_->mutex);
  return job_->failed_rank;
}

std::string LocalWorld::failure() const {
  const std::scoped_lock guard(job_->mutex);
  return job_->failure;
}

void run_ranks(int size, const std::function<void(Communicator&)>& body) {
  LocalWorld world(size);
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(size));
  const auto run = [&](int rank) {
    std::exception_ptr& error = errors[static_cast<std::size_t>(rank)];
    try {
      body(*world.communicator(rank));
      world.leave(rank);
    } catch (const std::exception& cause) {
      error = std::current_exception();
      world.fail(rank, cause.what());
    } catch (...) {
      error = std::current_exception();
      world.fail(rank, "an exception that is not a std::exception");
    }
  };
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) threads.emplace_back(run, rank);
  for (std::thread& thread : threads) thread.join();
  const int first = world.first_failed_rank();
  if (first < 0) return;
  if (errors[static_cast<std::size_t>(first)])
    std::rethrow_exception(errors[static_cast<std::size_t>(first)]);
  // Its own body caught the cause.
  throw CommunicationError(detail::concatenate("rank ", first, " failed: ", world.failure()));
}

}  // namespace hetmoe
