#pragma once

#include <cstdint>

#include "core/gpu/launch.h"

namespace hetmoe::gpu {

enum class Priority : std::uint8_t { kNormal, kHigh };

/// A stream of its own, which waits for no other unless told to. Move-only; destroying one does not
/// wait for its work.
class OwnedStream {
 public:
  /// On the calling thread's device. Blocks of a stream of high priority go first when a
  /// multiprocessor becomes free.
  explicit OwnedStream(Priority priority = Priority::kNormal);
  OwnedStream(OwnedStream&& other) noexcept;
  OwnedStream& operator=(OwnedStream&& other) noexcept;
  ~OwnedStream();

  Stream get() const { return stream_; }

 private:
  Stream stream_ = nullptr;
};

/// A place in a stream that others can wait for. Move-only; may be recorded again and again.
class OwnedEvent {
 public:
  enum class Timing : std::uint8_t { kNone, kTimed };

  OwnedEvent() : OwnedEvent(Timing::kNone) {}
  /// One that keeps the time costs the device a little more.
  explicit OwnedEvent(Timing timing);
  OwnedEvent(OwnedEvent&& other) noexcept;
  OwnedEvent& operator=(OwnedEvent&& other) noexcept;
  ~OwnedEvent();

  /// The place is after all that `stream` has been given so far.
  void record(Stream stream);
  /// What `stream` is given from now on waits for the place. The host does not.
  void hold(Stream stream) const;
  /// Whether the place has been reached; true before the first record.
  bool reached() const;
  /// The host waits.
  void wait() const;
  /// From when `earlier` was reached until this one was. Both keep the time and have been reached.
  double seconds_since(const OwnedEvent& earlier) const;

 private:
  Event event_ = nullptr;
};

/// The host waits for all that the stream has been given.
void wait_for(Stream stream);

/// `later`'s future waits for `earlier`'s present.
void order(Stream earlier, Stream later, OwnedEvent& event);

}  // namespace hetmoe::gpu
