// Bytes are a sequence of calls with fields from the bytes, on a coordinator with a journal. Only a
// CoordinatorError of one line escapes; generations never fall; a checkpoint is agreed only when
// every rank has prepared it or rank 0 has committed it; commands have unique, increasing numbers;
// what a restart reads is what was acknowledged.

#include <fuzzer/FuzzedDataProvider.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/check.h"
#include "runtime/coordinator/limits.h"
#include "runtime/coordinator/run_coordinator.h"
#include "tests/support/temporary_folder.h"

namespace {

using namespace hetmoe;

class HandClock final : public Clock {
 public:
  double monotonic_seconds() const override { return now; }
  double wall_seconds() const override { return now; }
  double now = 0;
};

/// Of this process, in memory where there is such a folder: every record is synced.
const std::filesystem::path& journal_path() {
  static const std::filesystem::path path = [] {
    if (std::filesystem::is_directory("/dev/shm")) ::setenv("TMPDIR", "/dev/shm", 0);
    static const TemporaryFolder folder;
    return folder.path() / "journal";
  }();
  return path;
}

/// Small numbers often, so that calls meet; any number sometimes.
std::int64_t number(FuzzedDataProvider& input) {
  if (input.ConsumeIntegralInRange(0, 15) == 0) return input.ConsumeIntegral<std::int64_t>();
  return input.ConsumeIntegralInRange<std::int64_t>(0, 6);
}

double amount(FuzzedDataProvider& input) {
  if (input.ConsumeIntegralInRange(0, 7) == 0) return input.ConsumeFloatingPoint<double>();
  return 0.5;
}

std::string text(FuzzedDataProvider& input, const char* usual) {
  if (input.ConsumeIntegralInRange(0, 15) > 0) return usual;
  return input.ConsumeRandomLengthString(300);
}

Member member(FuzzedDataProvider& input) {
  return {.run = text(input, "run"),
          .generation = number(input),
          .rank = static_cast<int>(input.ConsumeIntegralInRange<std::int64_t>(-1, 3))};
}

/// Few, or beyond what is allowed: a status of many takes long.
int ranks(FuzzedDataProvider& input) {
  const std::int64_t wanted = number(input);
  if (wanted >= -1 && wanted <= 6) return static_cast<int>(wanted);
  return coordinator_limits::kRanks + 1;
}

/// One run of the fuzzer.
class Calls {
 public:
  explicit Calls(FuzzedDataProvider& input) : input_(input) {
    std::error_code ignored;
    std::filesystem::remove(journal_path(), ignored);
    start();
  }

  void play() {
    for (int call = 0; call < 64 && input_.remaining_bytes() > 0; ++call) {
      try {
        play_one(input_.ConsumeIntegralInRange(0, 8));
      } catch (const CoordinatorError& error) {
        const std::string_view words = error.what();
        HETMOE_CHECK(words.find_first_of("\r\n") == std::string_view::npos, "several lines");
        HETMOE_CHECK(!words.empty() && words.size() < 2000, "an error of ", words.size());
      }
      look();
    }
    start();  // from the journal
  }

 private:
  void start() {
    coordinator_.reset();
    coordinator_ = std::make_unique<RunCoordinator>(journal_path(), clock_);
    prepared_.clear();
    if (line_.empty()) return;
    const std::string line = durable_line();
    HETMOE_CHECK(line == line_, "a restart changed ", line_, " into ", line);
  }

  void play_one(int call) {
    switch (call) {
      case 0:
      case 1:
        return join();
      case 2:
        return beat();
      case 3:
        return step();
      case 4:
      case 5:
        return prepare();
      case 6:
        return commit();
      case 7:
        return command();
      default:
        clock_.now += 5;
        if (input_.ConsumeBool()) start();
    }
  }

  void join() {
    JoinRequest request{.member = member(input_),
                        .ranks = ranks(input_),
                        .host = text(input_, "n1"),
                        .process = number(input_),
                        .metrics_address = text(input_, "")};
    const std::int64_t before = coordinator_->status().generation;
    const std::int64_t given = coordinator_->join(request).generation;
    HETMOE_CHECK(given >= before && given >= 1, "given ", given, " after ", before);
    if (given > before) prepared_.clear();
  }

  void beat() {
    Heartbeat beat{.member = member(input_),
                   .step = number(input_),
                   .phase = text(input_, "training"),
                   .collective_sequence = number(input_),
                   .collective = text(input_, "barrier"),
                   .step_seconds = amount(input_),
                   .expert_flops = amount(input_),
                   .wait_seconds = amount(input_),
                   .memory_bytes = number(input_)};
    beat.executed_command = input_.ConsumeBool() ? number(input_) : 0;
    beat.executed_step = beat.executed_command > 0 ? number(input_) : 0;
    for (const AcceptedCommand& command : coordinator_->heartbeat(beat).commands) {
      HETMOE_CHECK(command.executed_step == 0, "command ", command.number, " is executed");
    }
  }

  void step() {
    StepReport report{.member = member(input_)};
    report.record.step = number(input_);
    report.record.tokens = number(input_);
    report.record.loss = amount(input_);
    report.record.step_seconds = amount(input_);
    report.record.bytes.gradients = number(input_);
    const std::int64_t before = coordinator_->status().last_step.step;
    const int generation = coordinator_->status().last_step.generation;
    coordinator_->report_step(report);
    const StepRecord after = coordinator_->status().last_step;
    HETMOE_CHECK(after.step >= before || after.generation > generation, "back to ", after.step);
  }

  void prepare() {
    PreparedShard shard{.member = member(input_),
                        .step = number(input_),
                        .configuration_digest = text(input_, "c")};
    for (int file = input_.ConsumeIntegralInRange(0, 2); file > 0; --file) {
      shard.files.push_back({.name = text(input_, "rank-0.safetensors"),
                             .bytes = number(input_),
                             .digest = text(input_, "xxh3-128:0123456789abcdef0123456789abcdef")});
    }
    const PrepareReply reply = coordinator_->prepare_checkpoint(shard);
    const CoordinatorStatus status = coordinator_->status();
    auto& ranks = prepared_[{shard.step, shard.configuration_digest}];
    ranks.insert(shard.member.rank);
    if (!reply.agreed || status.committed.step == shard.step) return;
    HETMOE_CHECK(std::cmp_equal(ranks.size(), status.ranks), "agreed by ", ranks.size(), " of ",
                 status.ranks);
  }

  void commit() {
    const CommittedCheckpoint checkpoint{.member = member(input_),
                                         .step = number(input_),
                                         .bytes = number(input_),
                                         .seconds = amount(input_),
                                         .wall_seconds = amount(input_)};
    coordinator_->commit_checkpoint(checkpoint);
    HETMOE_CHECK(coordinator_->status().committed.step == checkpoint.step, "not committed");
  }

  void command() {
    const auto kind = static_cast<CommandKind>(input_.ConsumeIntegralInRange(0, 5));
    const AcceptedCommand command = coordinator_->command(kind);
    HETMOE_CHECK(command.kind == kind && command.executed_step == 0, "not what was asked for");
    if (numbers_.insert(command.number).second) {
      HETMOE_CHECK(*numbers_.rbegin() == command.number, "command ", command.number, " is late");
    }
  }

  /// What holds at any time, and also after a restart.
  void look() {
    const CoordinatorStatus status = coordinator_->status();
    HETMOE_CHECK(status.generation >= generation_, "generation fell to ", status.generation);
    generation_ = status.generation;
    HETMOE_CHECK(std::cmp_equal(status.members.size(), status.ranks), "members of another number");
    HETMOE_CHECK(status.prepared_ranks <= status.ranks, "more have prepared than there are");
    std::int64_t last = 0;
    for (const AcceptedCommand& command : status.commands) {
      HETMOE_CHECK(command.number > last && numbers_.contains(command.number),
                   "no such command: ", command.number);
      last = command.number;
    }
    line_ = durable_line();
  }

  /// What a status shows of that which lasts.
  std::string durable_line() const {
    const CoordinatorStatus status = coordinator_->status();
    JournalState state;
    state.run = status.run;
    state.generation = status.generation;
    state.ranks = status.ranks;
    state.committed = status.committed;
    state.committed.member.generation = status.committed.step > 0 ? 1 : 0;
    state.newest_command = status.commands.empty() ? 0 : status.commands.back().number;
    state.commands = status.commands;
    std::string line = write_journal_state(state);
    HETMOE_CHECK(write_journal_state(read_journal_state(line, "status")) == line, "another state");
    return line;
  }

  FuzzedDataProvider& input_;
  HandClock clock_;
  std::unique_ptr<RunCoordinator> coordinator_;
  std::map<std::pair<std::int64_t, std::string>, std::set<int>> prepared_;
  std::set<std::int64_t> numbers_;
  std::int64_t generation_ = 0;
  std::string line_;  ///< durable_line() of the last look
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  FuzzedDataProvider input(bytes, size);
  Calls(input).play();
  return 0;
}
