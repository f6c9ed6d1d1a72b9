#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "parallel/communicator/span.h"

namespace hetmoe {

enum class Reduction : std::uint8_t { kSum, kMin, kMax };

/// Which memory a communicator's buffers lie in.
enum class MemoryKind : std::uint8_t { kHost, kDevice };

/// A collective under way. Move-only. Destroying one that has not finished waits for it, so that
/// buffers stay valid; an error during that wait aborts the communicator (nothing throws there).
class [[nodiscard]] Pending {
 public:
  /// What an implementation supplies.
  class Operation {
   public:
    virtual ~Operation() = default;
    virtual void wait() = 0;  ///< throws CommunicationError
    virtual bool done() = 0;  ///< never blocks; drives progress
  };

  Pending() = default;  ///< already finished
  explicit Pending(std::unique_ptr<Operation> operation) : operation_(std::move(operation)) {}
  Pending(Pending&&) noexcept = default;
  Pending& operator=(Pending&&) = delete;
  ~Pending();

  /// Blocks until the receive buffers hold the result and the send buffers may be reused.
  /// For device memory it orders the stream instead and the host goes on: what the caller's compute
  /// stream is given from now on finds the results and may reuse the buffers.
  void wait();
  /// True once wait() would return at once; for device memory, once the device has finished.
  bool done();

 private:
  std::unique_ptr<Operation> operation_;
};

/// The collectives of one group of ranks, over plain memory: all of it the host's, or all the
/// device's, as memory() says.
///
/// Collective: every call below except rank, size, memory, progress and abort must be made by all
/// ranks of the group, in the same order, with matching counts and types; counts may be zero.
/// Threads: one thread per communicator at a time; abort may be called by any.
/// Types: reductions exist for fp32, fp64 and int64 (anything else is a broken invariant); other
/// types are only moved. Counts are 64-bit; an implementation splits what its library cannot count.
/// Order: sums are taken in a fixed order, so equal inputs on equally many ranks give equal bits.
/// Blocking: calls that return a Pending only start; communicate nothing else about completion.
/// Errors: CommunicationError on peer loss; a fault on one rank must be agreed by a collective
/// first, or the rank calls abort() so that its peers wake.
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual MemoryKind memory() const = 0;

  /// Element-wise reduction over ranks, in place, result on every rank.
  virtual Pending all_reduce(Buffer values, Reduction reduction) = 0;

  /// `send` is the concatenation of size() parts, part r of counts[r] elements (same counts on all
  /// ranks); `receive` (counts[rank()] elements) gets the sum over ranks, in rank order, of part
  /// rank(). Buffers must not overlap.
  virtual Pending reduce_scatter_v(ConstBuffer send, std::span<const std::int64_t> counts,
                                   Buffer receive) = 0;

  /// `values` is the concatenation of size() parts, part r of counts[r] elements; in place: each
  /// rank has filled its own part before, and all parts are filled after.
  virtual Pending all_gather_v(Buffer values, std::span<const std::int64_t> counts) = 0;

  /// Sends send_counts[r] elements to rank r and receives receive_counts[r] from it; both buffers
  /// are dense, in rank order. Element counts, not bytes. Buffers must not overlap.
  virtual Pending all_to_all_v(ConstBuffer send, std::span<const std::int64_t> send_counts,
                               Buffer receive, std::span<const std::int64_t> receive_counts) = 0;

  /// The root's values on every rank.
  virtual Pending broadcast(Buffer values, int root) = 0;

  /// Blocks until every rank has come here: their hosts, whatever their devices still do.
  virtual void barrier() = 0;

  /// Splits the group by colour, ordered by (key, rank). Every rank gets a communicator; ranks of
  /// one colour share one. split(0, rank()) duplicates: one per class of traffic.
  virtual std::unique_ptr<Communicator> split(int color, int key) = 0;

  /// Lets the library move data that is under way. Open MPI has no progress thread.
  virtual void progress() = 0;

  /// Ends the whole job from this rank: peers wake with an error or are killed. Prints `reason`.
  [[noreturn]] virtual void abort(const std::string& reason, int exit_code) = 0;
};

}  // namespace hetmoe
