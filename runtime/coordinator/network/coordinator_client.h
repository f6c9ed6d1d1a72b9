#pragma once

#include <functional>
#include <memory>
#include <string>

#include "runtime/coordinator/coordinator.h"
#include "runtime/coordinator/limits.h"
#include "runtime/coordinator/network/credentials.h"

namespace hetmoe {

/// A coordinator somewhere else, by gRPC. Every call blocks up to the deadline and then throws
/// kUnreachable; a lost connection is made again by the next call. Errors name the address; a
/// refusal has the coordinator's own words. Secrets are never in them.
class CoordinatorClient final : public Coordinator {
 public:
  /// Connects at the first call. `address`: HOST:PORT. Errors: CoordinatorError when the
  /// credentials cannot be used.
  CoordinatorClient(std::string address, const ClientCredentials& credentials,
                    double deadline_seconds = coordinator_limits::kCallSeconds);
  ~CoordinatorClient() override;

  JoinReply join(const JoinRequest& request) override;
  HeartbeatReply heartbeat(const Heartbeat& heartbeat) override;
  void report_step(const StepReport& report) override;
  PrepareReply prepare_checkpoint(const PreparedShard& shard) override;
  void commit_checkpoint(const CommittedCheckpoint& checkpoint) override;
  AcceptedCommand command(CommandKind kind) override;
  CoordinatorStatus status() override;

  /// A status every `seconds` (0.2 to 60), until `take` gives false. Blocking; the stream itself
  /// has no deadline, silence beyond kCallSeconds and `seconds` ends it (kUnreachable).
  void watch(double seconds, const std::function<bool(const CoordinatorStatus&)>& take);

  /// Cancels what is under way in other threads, for good: their calls throw kUnreachable.
  void cancel();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace hetmoe
