#include "runtime/trainer/coordination.h"

#include <unistd.h>

#include <span>
#include <utility>

#include "core/base/host_name.h"
#include "core/files/digest.h"
#include "parallel/agreement.h"
#include "runtime/exporter/run_pages.h"
#include "runtime/trainer/process_memory.h"

namespace hetmoe {
namespace {

constexpr double kJoinSeconds = 10;

JoinRequest identity_of(const CoordinatedRun& run, const std::string& name) {
  return {.member = {.run = name, .generation = run.generation, .rank = run.control.rank()},
          .ranks = run.control.size(),
          .host = host_name(),
          .process = getpid(),
          .metrics_address = run.metrics != nullptr ? run.metrics->address() : "",
          .metrics_use_tls = run.metrics != nullptr && run.metrics->uses_tls()};
}

std::pair<std::int64_t, std::string> newest_collective(const CollectiveLog& log) {
  const std::vector<CollectiveRecord> records = log.records();
  if (records.empty()) return {};
  return {records.back().number, records.back().operation};
}

}  // namespace

Coordination::Coordination(const CoordinatedRun& run) : run_(run) {
  if (run.config.coordinator.listen == "none") return;
  const std::string yaml = resolved_yaml(run.config);
  configuration_digest_ = digest_of(std::as_bytes(std::span(yaml)));
  access_ = open_coordinator(run.config.coordinator, run.directory,
                             {run.generation, run.taken_over}, run.control, run.clock);
  serve_metrics();
  link_ = std::make_unique<RankLink>(
      access_.coordinator(), identity_of(run, access_.run), run.clock,
      RankLink::Settings{.beat_seconds = run.config.coordinator.beat_seconds,
                         .away_seconds = run.config.coordinator.away_seconds},
      [&log = run.collectives] { return newest_collective(log); });
  try {
    collectively(run.control, [&] {
      const std::optional<CoordinatorError> fault = link_->await_join(kJoinSeconds);
      if (fault && fault->fault() != CoordinatorFault::kUnreachable) throw CoordinatorError(*fault);
    });
  } catch (...) {
    end();  // a run that was refused leaves no address behind
    throw;
  }
}

void Coordination::serve_metrics() {
  if (run_.metrics == nullptr || run_.metrics->server() == nullptr || !access_.own) return;
  pages_ = serve_run(*run_.metrics->server(), *access_.own, *access_.series,
                     run_.metrics->address(), run_.metrics->uses_tls());
}

Coordination::~Coordination() {
  if (link_) {
    beat_.phase = kEndedPhase;
    link_->progress(beat_);
  }
  end();
}

/// The link first: it says what is left to say.
void Coordination::end() {
  link_.reset();
  pages_.clear();
  close_coordinator(access_);
}

void Coordination::enter(std::int64_t step, std::string_view phase) {
  if (!link_) return;
  beat_.step = step;
  beat_.phase = phase;
  link_->progress(beat_);
}

void Coordination::step_ended(const StepOutcome& outcome, double step_seconds,
                              const PeakMemory& memory) {
  if (!link_) return;
  const PhaseSeconds& seconds = outcome.seconds;
  beat_.step_seconds = step_seconds;
  beat_.expert_flops = outcome.expert_flops;
  beat_.wait_seconds =
      seconds.dispatch_wait + seconds.combine_wait + seconds.gradients + seconds.parameters;
  beat_.memory_bytes = memory.host_bytes;
  beat_.device_memory_bytes = memory.device_bytes;
  link_->progress(beat_);
}

void Coordination::report(const StepRecord& record, const RunProgress& progress) {
  if (link_) link_->report(record, progress);
}

StepWishes Coordination::wishes() {
  StepWishes wishes;
  if (!link_) return wishes;
  for (const AcceptedCommand& command : link_->take_commands()) open_commands_.push_back(command);
  for (const AcceptedCommand& command : open_commands_) {
    switch (command.kind) {
      case CommandKind::kSave:
        wishes.save = true;
        break;
      case CommandKind::kStop:
        wishes.stop_for_good = true;
        break;
      case CommandKind::kStopAndRequeue:
        wishes.stop = true;
        break;
      case CommandKind::kRebalance:
        wishes.rebalance = true;
        break;
    }
  }
  wishes.leave = link_->is_replaced();
  return wishes;
}

std::vector<AcceptedCommand> Coordination::executed(std::int64_t step) {
  for (const AcceptedCommand& command : open_commands_) link_->executed(command, step);
  return std::exchange(open_commands_, {});
}

std::vector<std::string> Coordination::take_notes() {
  return link_ ? link_->take_notes() : std::vector<std::string>();
}

void Coordination::prepared(std::int64_t step, const CheckpointFile& file) {
  if (!link_) return;
  link_->prepared(step, configuration_digest_, {{file.name, file.bytes, file.digest}});
}

SaveWitness::Answer Coordination::answer() const {
  if (!link_) return Answer::kAgreed;
  if (link_->is_replaced()) return Answer::kRefused;
  // A coordinator that no longer knows this run cannot vouch for it: the ranks' agreement counts.
  if (!link_->refusal().empty() || link_->may_commit()) return Answer::kAgreed;
  return link_->is_away() ? Answer::kAway : Answer::kNotYet;
}

std::string Coordination::refusal() const { return link_ ? link_->refusal() : ""; }

void Coordination::concluded(const SaveRecord& record) {
  if (!link_) return;
  if (!record.committed) {
    link_->discard_prepared();
  } else if (run_.control.rank() == 0) {
    CommittedCheckpoint checkpoint;
    checkpoint.step = record.step;
    checkpoint.bytes = record.bytes;
    checkpoint.seconds = record.seconds;
    checkpoint.wall_seconds = run_.clock.wall_seconds();
    link_->committed(checkpoint);
  }
}

}  // namespace hetmoe
