#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/coordinator/coordinator.h"

namespace hetmoe {

/// Waits, generously, until `is_so`; whether it came to it.
template <typename Predicate>
bool eventually(Predicate&& is_so) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!is_so()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

/// Takes everything, or hands it on to `behind`, and fails as it was told to. Keeps what was asked.
class ScriptedCoordinator final : public Coordinator {
 public:
  /// The next calls of this name ("join", "beat", "step", "prepare", "commit") fail so, in order.
  void fail(const std::string& call, const std::vector<CoordinatorFault>& faults) {
    const std::scoped_lock guard(mutex_);
    for (const CoordinatorFault fault : faults) faults_[call].push_back(fault);
  }
  /// From now on every call fails so, until come_back().
  void go_away(CoordinatorFault fault = CoordinatorFault::kUnreachable) {
    const std::scoped_lock guard(mutex_);
    away_ = fault;
  }
  void come_back() {
    const std::scoped_lock guard(mutex_);
    away_.reset();
  }
  /// Calls of this name throw a StorageError, until come_back() of an empty name.
  void fail_with_storage(const std::string& call) {
    const std::scoped_lock guard(mutex_);
    storage_ = call;
  }
  void serve(std::shared_ptr<Coordinator> behind) {
    const std::scoped_lock guard(mutex_);
    behind_ = std::move(behind);
  }
  /// Calls of this name wait in it until release().
  void hold(const std::string& call) {
    const std::scoped_lock guard(mutex_);
    held_ = call;
  }
  void release() {
    {
      const std::scoped_lock guard(mutex_);
      held_.clear();
    }
    changed_.notify_all();
  }
  void set_commands(std::vector<AcceptedCommand> commands) {
    const std::scoped_lock guard(mutex_);
    commands_ = std::move(commands);
  }
  void set_agreed(bool agreed) {
    const std::scoped_lock guard(mutex_);
    agreed_ = agreed;
  }

  JoinReply join(const JoinRequest& request) override {
    const auto behind = enter("join", "join " + std::to_string(request.member.generation));
    return behind != nullptr ? behind->join(request) : JoinReply{.generation = 3};
  }
  HeartbeatReply heartbeat(const Heartbeat& heartbeat) override {
    const auto behind = enter("beat", "beat " + std::to_string(heartbeat.step));
    HeartbeatReply reply;
    if (behind != nullptr) reply = behind->heartbeat(heartbeat);
    const std::scoped_lock guard(mutex_);
    beats_.push_back(heartbeat);
    if (behind == nullptr) reply.commands = commands_;
    return reply;
  }
  void report_step(const StepReport& report) override {
    const auto behind = enter("step", "step " + std::to_string(report.record.step));
    if (behind != nullptr) behind->report_step(report);
    const std::scoped_lock guard(mutex_);
    steps_.push_back(report.record.step);
  }
  PrepareReply prepare_checkpoint(const PreparedShard& shard) override {
    const auto behind = enter("prepare", "prepare " + std::to_string(shard.step));
    if (behind != nullptr) return behind->prepare_checkpoint(shard);
    const std::scoped_lock guard(mutex_);
    return {.agreed = agreed_, .prepared_ranks = 1};
  }
  void commit_checkpoint(const CommittedCheckpoint& checkpoint) override {
    const auto behind = enter("commit", "commit " + std::to_string(checkpoint.step));
    if (behind != nullptr) behind->commit_checkpoint(checkpoint);
    const std::scoped_lock guard(mutex_);
    commits_.push_back(checkpoint.step);
  }
  AcceptedCommand command(CommandKind) override { return {}; }
  CoordinatorStatus status() override { return {}; }

  // What came of it, in order.
  std::vector<std::string> calls() const { return copy(calls_); }  ///< failed ones too
  std::vector<Heartbeat> beats() const { return copy(beats_); }
  std::vector<std::int64_t> steps() const { return copy(steps_); }
  std::vector<std::int64_t> commits() const { return copy(commits_); }
  std::int64_t count(const std::string& name) const {
    const std::scoped_lock guard(mutex_);
    std::int64_t found = 0;
    for (const std::string& call : calls_) found += call.starts_with(name) ? 1 : 0;
    return found;
  }

 private:
  std::shared_ptr<Coordinator> enter(const std::string& name, const std::string& call) {
    std::unique_lock lock(mutex_);
    calls_.push_back(call);
    changed_.wait(lock, [&] { return held_ != name; });
    if (storage_ == name) throw StorageError("no space left for " + name);
    if (away_) throw CoordinatorError(*away_, name + " of n0:7000 does not answer");
    if (auto& faults = faults_[name]; !faults.empty()) {
      const CoordinatorFault fault = faults.front();
      faults.pop_front();
      throw CoordinatorError(fault, name + " as it was told");
    }
    return behind_;
  }
  template <typename Values>
  Values copy(const Values& values) const {
    const std::scoped_lock guard(mutex_);
    return values;
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::deque<CoordinatorFault>> faults_;
  std::optional<CoordinatorFault> away_;
  std::string storage_;
  std::string held_;
  std::shared_ptr<Coordinator> behind_;
  bool agreed_ = true;
  std::vector<AcceptedCommand> commands_;
  std::vector<std::string> calls_;
  std::vector<Heartbeat> beats_;
  std::vector<std::int64_t> steps_;
  std::vector<std::int64_t> commits_;
};

}  // namespace hetmoe
