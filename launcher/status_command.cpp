#include "launcher/status_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "core/base/error.h"
#include "launcher/coordinator_target.h"
#include "launcher/status_view.h"

namespace hetmoe {
namespace {

struct StatusOptions {
  CoordinatorOptions coordinator;
  bool json = false;
  std::string watch_seconds;  ///< empty: once
};

/// Codes after which nobody starts the run again by himself.
bool is_final(const RunEnd& end) {
  constexpr std::array kRestarted = {ExitCode::kInternal, ExitCode::kCommunication,
                                     ExitCode::kCoordinator};
  return std::none_of(kRestarted.begin(), kRestarted.end(),
                      [&](ExitCode code) { return static_cast<int>(code) == end.code; });
}

/// What files can stand in for is handed back, all else thrown on.
CoordinatorError unreachable_or_throw(const CoordinatorTarget& target,
                                      const CoordinatorError& error) {
  if (error.fault() == CoordinatorFault::kUnreachable) return error;
  throw CoordinatorError(error.fault(), target.explained(error));
}

int show_once(const CoordinatorTarget& target, StatusView& view) {
  try {
    view.show(target.connect()->status());
    return 0;
  } catch (const CoordinatorError& error) {
    view.show_files(unreachable_or_throw(target, error));
  }
  return view.end() ? 0 : static_cast<int>(ExitCode::kCoordinator);
}

/// Until the run ends, nobody reads any more, or the person does not want to.
int watch(const CoordinatorTarget& target, StatusView& view, double seconds) {
  const auto goes_on = [&] { return view.is_read() && !(view.end() && is_final(*view.end())); };
  do {
    try {
      target.connect()->watch(seconds, [&](const CoordinatorStatus& status) {
        view.show(status);
        return goes_on();
      });
    } catch (const CoordinatorError& error) {
      view.show_files(unreachable_or_throw(target, error));
    }
    if (!goes_on()) return 0;
    std::this_thread::sleep_for(std::chrono::duration<double>(std::clamp(seconds, 0.5, 5.0)));
  } while (true);
}

int run_status_command(const StatusOptions& options) {
  const CoordinatorTarget target(options.coordinator);
  const bool repeated = !options.watch_seconds.empty();
  StatusView view(target, {.json = options.json, .repeated = repeated});
  return repeated ? watch(target, view, std::stod(options.watch_seconds)) : show_once(target, view);
}

}  // namespace

void add_status_command(CLI::App& app, std::function<int()>& action) {
  auto* command = app.add_subcommand("status", "Show what a run is at, rank by rank");
  auto options = std::make_shared<StatusOptions>();
  add_coordinator_options(*command, options->coordinator);
  command
      ->add_flag("--watch{2}", options->watch_seconds,
                 "Again and again, every 2 or --watch=SECONDS (0.2 to 60), until the run ends")
      ->check(CLI::Range(0.2, 60.0));
  command->add_flag("--json", options->json, "Print one JSON document; with --watch one per line");
  command->footer("Example:\n  hetmoe status runs/a --watch");
  command->callback(
      [options, &action] { action = [options] { return run_status_command(*options); }; });
}

}  // namespace hetmoe
