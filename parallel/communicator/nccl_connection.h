#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "core/gpu/devices.h"
#include "core/gpu/memory.h"
#include "core/gpu/stream.h"
#include "parallel/communicator/nccl_calls.h"
#include "parallel/communicator/nccl_communicator.h"
#include "parallel/communicator/stream_work.h"

namespace hetmoe {

/// One group's NCCL communicator with the stream that it works on, its scratch memory and what it
/// has started. A group of one has no communicator. The first error aborts it, which frees whoever
/// waits for its work, and is what every later call throws.
/// Threads: one starts and waits; any may ask for errors and stop it.
class NcclConnection final : public DeviceGroups::Group {
 public:
  using Started = StreamWork::Started;

  /// Takes the scratch memory.
  NcclConnection(NcclOptions options, int rank, int size);
  /// Waits for what was started, then destroys the communicator; after an error it is aborted.
  ~NcclConnection();
  NcclConnection(const NcclConnection&) = delete;
  NcclConnection& operator=(const NcclConnection&) = delete;

  /// Meets the other ranks. Collective. Blocking, within the timeout.
  void connect(const ncclUniqueId& id);

  /// `enqueue` puts the operation on stream(), after what the compute stream was given before.
  static Pending start(const std::shared_ptr<NcclConnection>& self, const OperationName& name,
                       const std::function<void()>& enqueue);

  // For `enqueue`.

  /// `calls` are one launch of NCCL, which is on the stream when this returns.
  void launch(const OperationName& name, const std::function<void(ncclComm_t)>& calls);
  gpu::Stream stream() const { return stream_.get(); }
  std::byte* scratch() const { return static_cast<std::byte*>(scratch_.get()); }
  const NcclOptions& options() const { return options_; }

  // For what start() returns.

  /// The compute stream waits; the host does not.
  void hold(Started& started);
  /// True after an error, too.
  bool has_ended(Started& started);
  /// The host waits, at most so long. Never throws: an error is kept for the next call.
  void finish(Started& started, double limit_seconds) noexcept;

  std::optional<std::string> asynchronous_error() override;
  void stop(const std::string& reason) noexcept override;
  /// Asks NCCL for errors and forgets what has ended.
  void look();

 private:
  void poll_until(const OperationName& name, double limit_seconds,
                  const std::function<bool()>& ended) const;
  void settle(const OperationName& name);
  void close();
  void fail(const std::string& message) noexcept;

  // Under the lock.
  void check_alive() const;
  void fail_locked(const std::string& message) noexcept;
  enum class Asks { kLibrary, kDeviceToo };
  void throw_error(Asks asks);
  std::optional<std::string> error_now(Asks asks);

  NcclOptions options_;
  int rank_;
  int size_;
  int exceptions_at_start_;
  int device_ = gpu::device_in_use();
  gpu::DeviceMemory scratch_;  ///< goes after the stream that uses it
  /// What has come starts the next computation: its kernels go before those under way.
  gpu::OwnedStream stream_{gpu::Priority::kHigh};
  gpu::OwnedEvent before_;  ///< of the compute stream, at the latest start

  std::timed_mutex mutex_;
  ncclComm_t comm_ = nullptr;  ///< null in a group of one, and after an abort
  std::optional<std::string> failure_;
  StreamWork work_;
};

}  // namespace hetmoe
