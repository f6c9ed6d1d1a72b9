#include "runtime/trainer/run_watchdog.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "core/base/error.h"
#include "runtime/metrics/events_file.h"
#include "runtime/metrics/run_lock.h"

namespace hetmoe {
namespace {

constexpr int kCode = static_cast<int>(ExitCode::kCommunication);

std::string list_text(const std::vector<int>& ranks) {
  std::string text;
  for (const int rank : ranks) {
    if (!text.empty()) text += ',';
    text += std::to_string(rank);
  }
  return text;
}

/// By a file of its own: rank 0's is in the hands of another thread, or this is not rank 0.
void write_event(const WatchedRun& run, const Verdict& verdict) {
  EventsFile events(run.directory.events_file(), run.collectives.clock(), run.world.rank(),
                    run.generation);
  events.write(Event::kWatchdog, verdict.wait.step,
               {{"operation", verdict.wait.operation},
                {"communicator", verdict.wait.communicator},
                {"sequence", verdict.wait.sequence},
                {"waited_seconds", verdict.wait.waited_seconds},
                {"silent_ranks", list_text(verdict.silent)},
                {"behind_ranks", list_text(verdict.behind)}});
}

[[noreturn]] void end_process(int rank, const std::string& text) {
  std::fprintf(stderr, "hetmoe: rank %d: watchdog: %s; ending this process\n", rank, text.c_str());
  std::fflush(stderr);
  std::_Exit(kCode);
}

}  // namespace

std::unique_ptr<Watchdog> start_watchdog(const WatchedRun& run) {
  const CollectiveDeadlines deadlines{run.train.first_collective_seconds,
                                      run.train.collective_seconds};
  const double shortest = deadlines.shortest_seconds();
  if (run.world.size() == 1 || shortest == 0) return nullptr;
  const double grace = std::clamp(shortest / 4, 2.0, 10.0);
  const WatchdogSettings settings{
      .identity = {run.world.rank(), run.world.size(), run.generation},
      .folder = run.directory.path() / "collectives",
      .deadlines = deadlines,
      .device_error = [&devices = run.devices] { return devices.asynchronous_error(); },
      .look_seconds = std::clamp(shortest / 10, 0.05, 1.0),
      .grace_seconds = grace,
      .leave_seconds = grace + 15,
  };
  const WatchdogActions actions{
      .note = [run](const std::string& text) { run.rank_log.error(text); },
      .record =
          [run](const Verdict& verdict, const std::string& text) {
            run.rank_log.error(text);
            write_as_generation(run.directory, run.generation, [&] {
              run.directory.write_exit_json(ExitCode::kCommunication, text);
              write_event(run, verdict);
            });
          },
      .end_job =
          [run](const std::string& text) {
            run.devices.stop(text);
            const std::string folder = (run.directory.path() / "collectives").string();
            run.world.abort(text + " (reports: " + folder + ")", kCode);
          },
      .end_process = [rank =
                          run.world.rank()](const std::string& text) { end_process(rank, text); },
  };
  return std::make_unique<Watchdog>(run.collectives, settings, actions);
}

}  // namespace hetmoe
