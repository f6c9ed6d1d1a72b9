#include "parallel/communicator/mpi_communicator.h"

#include <sched.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"
#include "parallel/communicator/collective_checks.h"
#include "parallel/communicator/mpi_calls.h"
#include "parallel/communicator/mpi_operations.h"
#include "parallel/communicator/mpi_progress.h"

namespace hetmoe {
namespace {

// Below this many gathered bytes an all-reduce is one message round; above it is cut into parts.
constexpr std::int64_t kGatheredReduceBytes = 64 << 10;
// MPI promises tags up to 32767; an operation uses two.
constexpr std::int64_t kTags = 16384;
// How long a rank that ends the job waits for MPI to become free: a second in all.
constexpr int kAbortAttempts = 10000;
constexpr std::chrono::microseconds kAbortPause(100);

std::vector<MpiPart> parts_of(const void* base, std::span<const std::int64_t> counts,
                              DataType type) {
  auto* pointer = static_cast<std::byte*>(const_cast<void*>(base));
  std::vector<MpiPart> parts;
  for (const std::int64_t count : counts) {
    parts.push_back({pointer, count * bytes_of(type)});
    pointer += parts.back().size_bytes;
  }
  return parts;
}

void copy_part(MpiPart to, MpiPart from) {
  if (from.size_bytes > 0)
    std::memcpy(to.pointer, from.pointer, static_cast<std::size_t>(from.size_bytes));
}

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(MpiHandle handle, std::shared_ptr<MpiProgress> progress,
                  std::int64_t largest_message_bytes)
      : handle_(std::move(handle)),
        progress_(std::move(progress)),
        largest_message_bytes_(largest_message_bytes) {
    check_mpi(MPI_Comm_set_errhandler(handle_.get(), MPI_ERRORS_RETURN), {"set_errhandler"});
    check_mpi(MPI_Comm_rank(handle_.get(), &rank_), {"rank"});
    check_mpi(MPI_Comm_size(handle_.get(), &size_), {"size"});
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  MemoryKind memory() const override { return MemoryKind::kHost; }

  Pending all_reduce(Buffer values, Reduction reduction) override {
    check_reduction("all_reduce", values);
    if (size_ == 1 || values.count == 0) return {};
    const OperationName name = next("all_reduce");
    const std::int64_t size_bytes = values.count * bytes_of(values.type);
    if (size_bytes * size_ <= kGatheredReduceBytes && size_bytes <= largest_message_bytes_)
      return start(
          std::make_unique<MpiGatheredReduce>(name, channel(), progress_, values, reduction));
    MpiPartedReduce::Request request{.send = values, .reduction = reduction};
    for (int peer = 0; peer < size_; ++peer)  // as even as it goes
      request.counts.push_back(values.count * (peer + 1) / size_ - values.count * peer / size_);
    request.gather = static_cast<std::byte*>(values.pointer);
    request.receive = request.gather + values.count * rank_ / size_ * bytes_of(values.type);
    return start(std::make_unique<MpiPartedReduce>(name, channel(), progress_, std::move(request)));
  }

  Pending reduce_scatter_v(ConstBuffer send, std::span<const std::int64_t> counts,
                           Buffer receive) override {
    check_reduction("reduce_scatter_v", send);
    check_reduction("reduce_scatter_v", receive);
    check_two_buffers("reduce_scatter_v", send, receive);
    check_parts("reduce_scatter_v", counts, size_, send.count);
    HETMOE_CHECK(receive.count == counts[own()], "reduce_scatter_v: receives ", receive.count,
                 " elements, counts say ", counts[own()]);
    if (size_ == 1) {
      copy_part(parts_of(receive.pointer, counts, send.type)[0],
                parts_of(send.pointer, counts, send.type)[0]);
      return {};
    }
    const OperationName name = next("reduce_scatter_v");
    return start(std::make_unique<MpiPartedReduce>(
        name, channel(), progress_,
        MpiPartedReduce::Request{send, {counts.begin(), counts.end()}, receive.pointer}));
  }

  Pending all_gather_v(Buffer values, std::span<const std::int64_t> counts) override {
    check_buffer("all_gather_v", values);
    check_parts("all_gather_v", counts, size_, values.count);
    if (size_ == 1) return {};
    const std::vector<MpiPart> receives = parts_of(values.pointer, counts, values.type);
    const std::vector<MpiPart> sends(receives.size(), receives[own()]);
    return start_exchange(next("all_gather_v"), sends, receives);
  }

  Pending all_to_all_v(ConstBuffer send, std::span<const std::int64_t> send_counts, Buffer receive,
                       std::span<const std::int64_t> receive_counts) override {
    check_two_buffers("all_to_all_v", send, receive);
    check_parts("all_to_all_v (send)", send_counts, size_, send.count);
    check_parts("all_to_all_v (receive)", receive_counts, size_, receive.count);
    HETMOE_CHECK(send_counts[own()] == receive_counts[own()], "all_to_all_v: rank ", rank_,
                 " sends itself ", send_counts[own()], " elements and expects ",
                 receive_counts[own()]);
    const std::vector<MpiPart> sends = parts_of(send.pointer, send_counts, send.type);
    const std::vector<MpiPart> receives = parts_of(receive.pointer, receive_counts, receive.type);
    copy_part(receives[own()], sends[own()]);
    if (size_ == 1) return {};
    return start_exchange(next("all_to_all_v"), sends, receives);
  }

  Pending broadcast(Buffer values, int root) override {
    check_buffer("broadcast", values);
    check_root("broadcast", root, size_);
    if (size_ == 1 || values.count == 0) return {};
    const OperationName name = next("broadcast");
    const auto post = [this, name, root, values](std::vector<MPI_Request>& requests) {
      const std::int64_t size_bytes = values.count * bytes_of(values.type);
      auto* pointer = static_cast<std::byte*>(values.pointer);
      for (std::int64_t begin = 0; begin < size_bytes; begin += largest_message_bytes_) {
        MPI_Request& request = requests.emplace_back(MPI_REQUEST_NULL);
        const auto length = static_cast<int>(std::min(largest_message_bytes_, size_bytes - begin));
        check_mpi(MPI_Ibcast(pointer + begin, length, MPI_BYTE, root, handle_.get(), &request),
                  name);
      }
    };
    return start(std::make_unique<MpiExchange>(name, post));
  }

  void barrier() override {
    if (size_ == 1) return;
    const OperationName name = next("barrier");
    const auto post = [this, name](std::vector<MPI_Request>& requests) {
      check_mpi(MPI_Ibarrier(handle_.get(), &requests.emplace_back(MPI_REQUEST_NULL)), name);
    };
    start(std::make_unique<MpiExchange>(name, post)).wait();
  }

  std::unique_ptr<Communicator> split(int color, int key) override {
    HETMOE_CHECK(color >= 0, "split: color ", color);
    barrier();  // waits politely; MPI's own blocking call below keeps its core
    const OperationName name = next("split");
    const std::scoped_lock guard(progress_->lock());
    MPI_Comm part = MPI_COMM_NULL;
    check_mpi(MPI_Comm_split(handle_.get(), color, key, &part), name);
    return std::make_unique<MpiCommunicator>(MpiHandle(part), progress_, largest_message_bytes_);
  }

  void progress() override { progress_->poll(); }

  [[noreturn]] void abort(const std::string& reason, int exit_code) override {
    std::fprintf(stderr, "rank %d of %d: %s\n", rank_, size_, reason.c_str());
    std::fflush(nullptr);
    // The thread that communicates holds the lock for moments only, unless MPI itself has stuck.
    std::unique_lock guard(progress_->lock(), std::defer_lock);
    for (int attempt = 0; attempt < kAbortAttempts && !guard.try_lock(); ++attempt)
      std::this_thread::sleep_for(kAbortPause);
    if (guard.owns_lock()) MPI_Abort(MPI_COMM_WORLD, exit_code);
    std::_Exit(exit_code);  // MPI_Abort is allowed to return; a launcher ends the others, too
  }

 private:
  std::size_t own() const { return static_cast<std::size_t>(rank_); }

  OperationName next(const char* operation) { return {operation, ++sequence_, rank_, size_}; }

  MpiChannel channel() const {
    return {handle_.get(), static_cast<int>(sequence_ % (kTags - 1)) * 2, largest_message_bytes_};
  }

  Pending start(std::unique_ptr<MpiOperation> operation) {
    return MpiProgress::start(progress_, std::move(operation));
  }

  Pending start_exchange(const OperationName& name, const std::vector<MpiPart>& sends,
                         const std::vector<MpiPart>& receives) {
    const auto post = [name, &sends, &receives, where = channel()](auto& requests) {
      post_exchange(name, where, sends, receives, requests);
    };
    return start(std::make_unique<MpiExchange>(name, post));  // posts before it returns
  }

  MpiHandle handle_;
  std::shared_ptr<MpiProgress> progress_;
  std::int64_t largest_message_bytes_;
  int rank_ = 0;
  int size_ = 1;
  std::int64_t sequence_ = 0;
};

}  // namespace

class MpiRuntime::State {
 public:
  int exceptions_at_start = std::uncaught_exceptions();
  std::shared_ptr<MpiProgress> progress = std::make_shared<MpiProgress>();
};

MpiRuntime::MpiRuntime(int& argument_count, char**& arguments) : state_(std::make_unique<State>()) {
  int provided = 0;
  check_mpi(MPI_Init_thread(&argument_count, &arguments, MPI_THREAD_SERIALIZED, &provided),
            {"MPI_Init_thread"});
  if (provided < MPI_THREAD_SERIALIZED)
    throw CommunicationError("this MPI library gives thread level " + std::to_string(provided) +
                             ", needed is MPI_THREAD_SERIALIZED (" +
                             std::to_string(MPI_THREAD_SERIALIZED) + ")");
  check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), {"set_errhandler"});
}

MpiRuntime::~MpiRuntime() {
  if (std::uncaught_exceptions() <= state_->exceptions_at_start) MPI_Finalize();
}

std::unique_ptr<Communicator> MpiRuntime::world(std::int64_t largest_message_bytes) {
  HETMOE_CHECK(largest_message_bytes > 0 && largest_message_bytes <= (std::int64_t{1} << 30),
               "message size ", largest_message_bytes);
  MPI_Comm duplicate = MPI_COMM_NULL;
  const std::scoped_lock guard(state_->progress->lock());
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &duplicate), {"world"});
  return std::make_unique<MpiCommunicator>(MpiHandle(duplicate), state_->progress,
                                           largest_message_bytes);
}

bool MpiRuntime::is_launched() {
  constexpr std::array kLauncherVariables = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"};
  for (const char* variable : kLauncherVariables)
    if (std::getenv(variable) != nullptr) return true;
  return false;
}

}  // namespace hetmoe
