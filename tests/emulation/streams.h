#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>

/// One piece of work on a stream: called until it says that it is done; never blocks.
using EmulatedWork = std::function<bool()>;

/// A stream as late as a real one may ever be: work runs only when somebody waits for it, on the
/// thread that waits. Who forgets to wait reads what was there before.
struct CUstream_st {
  struct Item {
    std::string name;
    EmulatedWork work;
  };
  std::deque<Item> items;
  std::uint64_t enqueued = 0;
  std::uint64_t finished = 0;
  bool is_running = false;  ///< its first item; nobody else may go on with it meanwhile
};

/// A place in a stream; no stream: never recorded, which counts as reached.
struct CUevent_st {
  CUstream_st* stream = nullptr;
  std::uint64_t position = 0;
  bool is_timed = false;
  std::shared_ptr<double> seconds;  ///< of the host's clock, when it was reached; timed ones alone
};

namespace hetmoe::emulation {

/// The stream that null stands for.
CUstream_st* default_stream();

void enqueue(CUstream_st* stream, std::string name, EmulatedWork work);

/// Runs work of the stream until so much of it has finished, and work of others that it waits for.
void run_until(CUstream_st* stream, std::uint64_t position);
void run_all(CUstream_st* stream);
/// A stream of its own, never destroyed: others may wait for what it did.
CUstream_st* new_stream();
/// All streams.
void run_everything();

/// Does one piece of work, or tries to. Whether the event has been reached.
bool advance(const CUevent_st& event);

constexpr int kMultiprocessors = 4;

/// What a host did, since the start of the process.
struct Observed {
  std::uint64_t launches = 0;       ///< kernels
  std::uint64_t copies = 0;         ///< between host and device
  std::uint64_t host_waits = 0;     ///< for a stream or an event
  int product_multiprocessors = 0;  ///< that the last product of cuBLAS or CUTLASS was given
};
Observed& observed();

/// The next call of this function of CUDA, NCCL or cuBLAS returns `code` and does nothing else.
void fail_next(const std::string& function, int code);
/// For the doubles: the code, once, or 0.
int take_failure(const std::string& function);

}  // namespace hetmoe::emulation
