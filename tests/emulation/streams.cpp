#include "tests/emulation/streams.h"

#include <sched.h>

#include <map>
#include <mutex>
#include <utility>

#include "tests/emulation/device_memory.h"

namespace hetmoe::emulation {
namespace {

struct State {
  std::recursive_mutex lock;
  CUstream_st default_stream;
  std::deque<CUstream_st> streams;
  Observed observed;
  std::map<std::string, int> failures;
};

State& state() {
  static auto* const instance = new State;
  return *instance;
}

/// One attempt at the first item, unless it runs already and has led here.
void try_first(CUstream_st* stream) {
  if (stream->items.empty() || stream->is_running) return;
  stream->is_running = true;
  const DeviceWork device;
  if (stream->items.front().work()) {
    stream->items.pop_front();
    ++stream->finished;
  }
  stream->is_running = false;
}

}  // namespace

CUstream_st* default_stream() { return &state().default_stream; }

void enqueue(CUstream_st* stream, std::string name, EmulatedWork work) {
  const std::scoped_lock guard(state().lock);
  ++stream->enqueued;
  stream->items.push_back({std::move(name), std::move(work)});
}

void run_until(CUstream_st* stream, std::uint64_t position) {
  while (true) {
    {
      const std::scoped_lock guard(state().lock);
      const std::uint64_t before = stream->finished;
      if (before >= position) return;
      try_first(stream);
      if (stream->finished > before) continue;
    }
    sched_yield();
  }
}

void run_all(CUstream_st* stream) { run_until(stream, stream->enqueued); }

CUstream_st* new_stream() {
  const std::scoped_lock guard(state().lock);
  return &state().streams.emplace_back();
}

void run_everything() {
  run_all(default_stream());
  for (CUstream_st& stream : state().streams) run_all(&stream);
}

bool advance(const CUevent_st& event) {
  const std::scoped_lock guard(state().lock);
  if (event.stream == nullptr) return true;
  if (event.stream->finished < event.position) try_first(event.stream);
  return event.stream->finished >= event.position;
}

Observed& observed() { return state().observed; }

void fail_next(const std::string& function, int code) {
  const std::scoped_lock guard(state().lock);
  state().failures[function] = code;
}

int take_failure(const std::string& function) {
  const std::scoped_lock guard(state().lock);
  const auto found = state().failures.find(function);
  if (found == state().failures.end()) return 0;
  const int code = found->second;
  state().failures.erase(found);
  return code;
}

}  // namespace hetmoe::emulation
