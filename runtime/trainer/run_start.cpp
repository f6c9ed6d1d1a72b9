#include "runtime/trainer/run_start.h"

#include <array>
#include <cstdio>
#include <span>
#include <string>

#include "parallel/agreement.h"
#include "runtime/metrics/run_history.h"
#include "runtime/trainer/initial_plan.h"
#include "runtime/trainer/initial_weights.h"
#include "runtime/trainer/memory_check.h"
#include "runtime/trainer/snapshot.h"

namespace hetmoe {

namespace {

/// Takes the folder and leaves a marker in it. Rank 0.
HeldRun take_directory(const TrainingRequest& request, std::string& marker) {
  HeldRun held =
      continue_or_create(request.run_directory, request.config_name, request.clock,
                         request.resume == "never" ? ResumePolicy::kNever : ResumePolicy::kContinue,
                         this_process(), {.on_wait = [](const std::string& line) {
                           std::fprintf(stderr, "hetmoe: %s\n", line.c_str());
                         }});
  marker = held.directory.write_marker().string();
  return held;
}

void require_visible(const std::string& marker, const RunDirectory& directory) {
  if (visible(marker)) return;
  throw StorageError("run directory " + directory.path().string() +
                     " is not visible from every rank: it must lie on a shared file system");
}

/// A folder of checkpoints that is not mounted looks like one that is empty; beginning anew would
/// bury the history, and the checkpoints under newer ones when they are back.
void require_no_lost_saves(const RunDirectory& directory, const Clock& clock) {
  const int saves = read_run_history(directory, clock.wall_seconds()).saves;
  if (saves == 0) return;
  throw StorageError("'" + directory.checkpoints_folder().string() +
                     "' holds none of the checkpoints that events.jsonl says were saved (" +
                     std::to_string(saves) + "): bring them back, or give a new --run-dir");
}

/// But for `--init`.
ResumePoint find_checkpoint(const TrainingRequest& request, const RunDirectory& directory,
                            Communicator& control) {
  if (request.resume == "never") return {};
  if (request.resume != "auto") return open_named(request.resume, control);
  ResumePoint point = find_newest(CheckpointFolder(directory.checkpoints_folder()), control);
  collectively(control, [&] {
    if (control.rank() == 0 && !point.checkpoint) require_no_lost_saves(directory, request.clock);
  });
  return point;
}

}  // namespace

AgreedRun agreed_run(const TrainingRequest& request, Communicator& control) {
  std::optional<HeldRun> held;
  std::string marker;
  collectively(control, [&] {
    if (control.rank() == 0) held.emplace(take_directory(request, marker));
  });
  const std::string path =
      broadcast_text(control, held ? held->directory.path().string() : std::string(), 0);
  marker = broadcast_text(control, std::move(marker), 0);
  std::array<std::int64_t, 1> generation = {held ? held->generation() : 0};
  control.broadcast(buffer_of(std::span<std::int64_t>(generation)), 0).wait();
  AgreedRun run{.directory = RunDirectory::open(path),
                .generation = static_cast<int>(generation[0]),
                .lock = held ? std::move(held->lock) : nullptr};
  try {
    collectively(control, [&] { require_visible(marker, run.directory); });
  } catch (const AgreedError&) {
    if (run.lock) {
      run.directory.remove_marker();
      run.directory.release();
    }
    throw;
  }
  if (run.lock) run.directory.remove_marker();
  return run;
}

ResumePoint find_resume_point(const TrainingRequest& request, const RunDirectory& directory,
                              Communicator& control) {
  ResumePoint point = find_checkpoint(request, directory, control);
  if (request.init.empty()) return point;
  if (point.checkpoint) {  // a restart repeats the command line that began the run
    point.notes.push_back("--init " + request.init + " is not used: the run has begun already");
  } else {
    open_initial_weights(request.init, request.config, control, point);
  }
  return point;
}

Plan feasible_plan(const RunConfig& config, const ResumePoint& resume,
                   const TrafficClasses& traffic, const ComputeDevice& device) {
  Plan plan = resume.checkpoint ? resumed_plan(config, resume.checkpoint->manifest(),
                                               traffic.groups, *traffic.control)
                                : make_initial_plan(config, traffic.groups, *traffic.control);
  require_memory(config, plan.placement, traffic.groups, *traffic.control, device);
  return plan;
}

PlanProblem problem_of_run(const RunConfig& config, const TrafficClasses& traffic) {
  std::optional<Cluster> cluster;
  collectively(*traffic.control, [&] {
    if (traffic.control->rank() == 0) cluster = configured_cluster(config);
  });
  PlanProblem problem = uniform_problem(config, traffic.groups, cluster);
  problem.two_hops = traffic.dispatch->memory() == MemoryKind::kHost;
  return problem;
}

Ownership::FillRows first_values(const RunConfig& config, ResumePoint& resume) {
  if (resume.weights) {
    return [&weights = *resume.weights](OwnedRows& rows) { read_masters(weights, rows); };
  }
  if (!resume.checkpoint) return Ownership::initial_masters(config.train.seed);
  return [&checkpoint = *resume.checkpoint](OwnedRows& rows) { read_owned_rows(checkpoint, rows); };
}

}  // namespace hetmoe
