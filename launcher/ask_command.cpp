#include "launcher/ask_command.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "launcher/asked_command.h"
#include "launcher/coordinator_target.h"

namespace hetmoe {
namespace {

struct AskOptions {
  CoordinatorOptions coordinator;
  std::string name;
  CommandKind kind = CommandKind::kSave;
  double wait_seconds = 60;
  bool requeue = false;
};

int run_ask_command(const AskOptions& options) {
  const CoordinatorTarget target(options.coordinator);
  AskedCommand command(target, options.name,
                       options.requeue ? CommandKind::kStopAndRequeue : options.kind);
  try {
    command.send();
    return options.wait_seconds > 0 ? command.follow(options.wait_seconds) : 0;
  } catch (const CoordinatorError& error) {
    throw CoordinatorError(error.fault(), options.name + ": " + target.explained(error));
  }
}

CLI::App* add(CLI::App& app, const std::string& purpose, CommandKind kind,
              const std::shared_ptr<AskOptions>& options, std::function<int()>& action) {
  options->name = command_name(kind);
  options->kind = kind;
  auto* command = app.add_subcommand(options->name, purpose);
  add_coordinator_options(*command, options->coordinator);
  command
      ->add_option("--wait", options->wait_seconds,
                   "Longest time to wait until it is done, 0: only until it is accepted "
                   "(default: 60)")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.0, 1e6));
  command->footer("Example:\n  hetmoe " + options->name + " runs/a");
  command->callback(
      [options, &action] { action = [options] { return run_ask_command(*options); }; });
  return command;
}

}  // namespace

void add_ask_commands(CLI::App& app, std::function<int()>& action) {
  add(app, "Have a run save a checkpoint after the step it is at", CommandKind::kSave,
      std::make_shared<AskOptions>(), action);
  const auto stop = std::make_shared<AskOptions>();
  add(app, "Have a run save a checkpoint and end with 93 (do not run me again)", CommandKind::kStop,
      stop, action)
      ->add_flag("--requeue", stop->requeue, "End with 75 instead (run me again)");
  add(app, "Have a run plan anew where its experts go", CommandKind::kRebalance,
      std::make_shared<AskOptions>(), action);
}

}  // namespace hetmoe
