#include "parallel/communicator/collective_log.h"

#include <algorithm>
#include <utility>

namespace hetmoe {
namespace {

// A writer that was put off the processor in the middle of a record holds a reader up this long.
constexpr int kReadAttempts = 100000;

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr auto kAcquire = std::memory_order_acquire;
constexpr auto kRelease = std::memory_order_release;

}  // namespace

// Whoever reads a new field with acquire also sees the odd version that was stored before it, so
// the second look at the version cannot miss the change.
void SharedRecord::write(const CollectiveRecord& record) {
  const std::uint64_t version = version_.load(kRelaxed);
  version_.store(version + 1, kRelaxed);
  number_.store(record.number, kRelease);
  sequence_.store(record.sequence, kRelease);
  communicator_.store(record.communicator, kRelease);
  operation_.store(record.operation, kRelease);
  bytes_.store(record.bytes, kRelease);
  step_.store(record.step, kRelease);
  started_.store(record.started_seconds, kRelease);
  wait_began_.store(record.wait_began_seconds, kRelease);
  ended_.store(record.ended_seconds, kRelease);
  version_.store(version + 2, kRelease);
}

std::optional<CollectiveRecord> SharedRecord::read() const {
  for (int attempt = 0; attempt < kReadAttempts; ++attempt) {
    const std::uint64_t version = version_.load(kAcquire);
    if (version == 0) return std::nullopt;
    if (version % 2 == 1) continue;
    CollectiveRecord record;
    record.number = number_.load(kAcquire);
    record.sequence = sequence_.load(kAcquire);
    record.communicator = communicator_.load(kAcquire);
    record.operation = operation_.load(kAcquire);
    record.bytes = bytes_.load(kAcquire);
    record.step = step_.load(kAcquire);
    record.started_seconds = started_.load(kAcquire);
    record.wait_began_seconds = wait_began_.load(kAcquire);
    record.ended_seconds = ended_.load(kAcquire);
    if (version_.load(kRelaxed) == version) return record;
  }
  return std::nullopt;
}

CollectiveLog::Channel& CollectiveLog::add_communicator(std::string name, int size) {
  const std::scoped_lock guard(channels_mutex_);
  Channel& channel = channels_.emplace_back();
  channel.name = std::move(name);
  channel.size = size;
  channel.index = static_cast<std::int64_t>(channels_.size()) - 1;
  return channel;
}

void CollectiveLog::begin_step(std::int64_t step) {
  step_.store(step, kRelaxed);
  steps_begun_.store(steps_begun_.load(kRelaxed) + 1, kRelaxed);
}

CollectiveRecord CollectiveLog::start(Channel& channel, const char* operation, std::int64_t bytes) {
  CollectiveRecord record;
  record.number = newest_.load(kRelaxed) + 1;
  record.sequence = channel.started.load(kRelaxed) + 1;
  record.communicator = channel.index;
  record.operation = operation;
  record.bytes = bytes;
  record.step = step_.load(kRelaxed);
  record.started_seconds = clock_.monotonic_seconds();
  channel.started.store(record.sequence, kRelaxed);
  place_of(record).write(record);
  newest_.store(record.number, kRelease);
  return record;
}

void CollectiveLog::begin_wait(CollectiveRecord& record) {
  record.wait_began_seconds = clock_.monotonic_seconds();
  wait_.write(record);
  waits_for_.store(record.number, kRelease);
  if (newest_.load(kRelaxed) - record.number < static_cast<std::int64_t>(kRecords))
    place_of(record).set_wait_began(record.wait_began_seconds);
}

void CollectiveLog::end(CollectiveRecord& record) {
  record.ended_seconds = clock_.monotonic_seconds();
  waits_for_.store(0, kRelease);
  last_ended_.store(record.ended_seconds, kRelaxed);
  // One that took long may have lost its place to a newer one.
  if (newest_.load(kRelaxed) - record.number < static_cast<std::int64_t>(kRecords))
    place_of(record).set_ended(record.ended_seconds);
}

std::optional<CollectiveRecord> CollectiveLog::open_wait() const {
  const std::int64_t number = waits_for_.load(kAcquire);
  if (number == 0) return std::nullopt;
  const std::optional<CollectiveRecord> record = wait_.read();
  if (!record || record->number != number || waits_for_.load(kAcquire) != number)
    return std::nullopt;  // a wait that changes while we look is not a long one
  return record;
}

std::vector<CollectiveRecord> CollectiveLog::records() const {
  std::vector<CollectiveRecord> found;
  found.reserve(kRecords);
  for (const SharedRecord& place : ring_) {
    if (const std::optional<CollectiveRecord> record = place.read()) found.push_back(*record);
  }
  std::ranges::sort(found, {}, &CollectiveRecord::number);
  return found;
}

std::vector<CollectiveLog::CommunicatorState> CollectiveLog::communicators() const {
  const std::scoped_lock guard(channels_mutex_);
  std::vector<CommunicatorState> states;
  for (const Channel& channel : channels_)
    states.push_back({channel.name, channel.size, channel.started.load(kRelaxed)});
  return states;
}

SharedRecord& CollectiveLog::place_of(const CollectiveRecord& record) {
  return ring_[static_cast<std::size_t>(record.number - 1) % kRecords];
}

}  // namespace hetmoe
