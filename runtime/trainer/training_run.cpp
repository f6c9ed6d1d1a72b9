#include "runtime/trainer/training_run.h"

#include <unistd.h>

#include <optional>
#include <string>

#include "parallel/agreement.h"
#include "runtime/trainer/compute_choice.h"
#include "runtime/trainer/coordination.h"
#include "runtime/trainer/initial_plan.h"
#include "runtime/trainer/memory_check.h"
#include "runtime/trainer/metrics_export.h"
#include "runtime/trainer/process_memory.h"
#include "runtime/trainer/run_start.h"
#include "runtime/trainer/run_watchdog.h"
#include "runtime/trainer/training_loop.h"

namespace hetmoe {
namespace {

std::string started_text(const TrafficClasses& traffic, const ComputeChoice& compute) {
  return "rank " + std::to_string(traffic.control->rank()) + " of " +
         std::to_string(traffic.control->size()) + ", process " + std::to_string(getpid()) +
         ", device " + compute.device.name + ", threads " + std::to_string(compute.threads) +
         ", cores " + compute.own_cores;
}

/// The configuration that the run goes on with, and a checkpoint that fits it.
RunConfig config_of_run(const TrainingRequest& request, const ResumePoint& resume) {
  if (!resume.checkpoint) return request.config;
  const CheckpointReader& checkpoint = *resume.checkpoint;
  require_moments(checkpoint.manifest(), checkpoint.path().string());
  RunConfig config = resumed_config(request.config, checkpoint);
  require_tensors(checkpoint.manifest(), tensor_shapes(config.model), /*moments=*/true,
                  checkpoint.path().string());
  return config;
}

}  // namespace

void run_training(const TrainingRequest& request) {
  keep_freed_memory();
  ExpertGroups groups;
  collectively(request.world,
               [&] { groups = configured_groups(request.config, request.world.size()); });
  CollectiveLog collectives(request.clock);
  DeviceGroups devices(request.config.train.collective_seconds);
  TrafficClasses traffic(request.world, groups, &collectives);
  const AgreedRun run = agreed_run(request, *traffic.control);
  const RunDirectory& directory = run.directory;
  std::optional<RankLog> rank_log;
  const auto record_failure = [&](ExitCode code, const std::string& reason) {
    if (rank_log) rank_log->error(reason);
    if (run.lock && run.lock->lost()) return;
    write_as_generation(directory, run.generation,
                        [&] { directory.write_exit_json(code, reason); });
  };
  try {
    collectively(*traffic.control,
                 [&] { rank_log.emplace(directory.log_file(traffic.control->rank())); });
    ResumePoint resume = find_resume_point(request, directory, *traffic.control);
    RunConfig config;
    collectively(*traffic.control, [&] { config = config_of_run(request, resume); });
    const ComputeChoice compute = choose_compute(config, *traffic.control, request.clock);
    config.train.precision = compute.precision;
    if (compute.device.on_gpu) traffic.move_to_gpu(devices);
    rank_log->note(started_text(traffic, compute));
    const auto watchdog = start_watchdog({.train = config.train,
                                          .collectives = collectives,
                                          .directory = directory,
                                          .rank_log = *rank_log,
                                          .world = request.world,
                                          .devices = devices,
                                          .generation = run.generation});
    MetricsExport metrics({.config = config.metrics,
                           .insecure = config.coordinator.insecure,
                           .directory = directory,
                           .clock = request.clock,
                           .control = *traffic.control,
                           .generation = run.generation});
    Coordination coordination({.config = config,
                               .directory = directory,
                               .collectives = collectives,
                               .clock = request.clock,
                               .control = *traffic.control,
                               .generation = run.generation,
                               .taken_over = run.lock && !run.lock->taken_over().empty(),
                               .metrics = &metrics});
    metrics.publish(directory.name(), coordination.serves_run_metrics());
    std::optional<TrainingLoop> loop;
    tell_short_memory([] { return "setting up parameters and moments"; },
                      [&] {
                        loop.emplace(request, config, compute, traffic, run, std::move(resume),
                                     coordination, metrics, *rank_log);
                      });
    loop->run();
  } catch (const AgreedError& error) {
    if (traffic.control->rank() == 0) {
      record_failure(error.exit_code(), error.what());
      directory.release();
    } else if (rank_log) {
      rank_log->error(error.what());
    }
    throw;
  } catch (const Error& error) {
    record_failure(error.exit_code(), error.what());
    throw;
  } catch (const std::exception& error) {
    record_failure(ExitCode::kInternal, describe(error));
    throw;
  }
}

}  // namespace hetmoe
