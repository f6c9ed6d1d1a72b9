#include "launcher/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "launcher/ask_command.h"
#include "launcher/calibrate_command.h"
#include "launcher/checkpoint_command.h"
#include "launcher/completion_command.h"
#include "launcher/coordinator_command.h"
#include "launcher/data_command.h"
#include "launcher/doctor_command.h"
#include "launcher/evaluate_command.h"
#include "launcher/export_command.h"
#include "launcher/generate_command.h"
#include "launcher/import_command.h"
#include "launcher/help_format.h"
#include "launcher/init_option.h"
#include "launcher/launch_command.h"
#include "launcher/plan_command.h"
#include "launcher/prepare_command.h"
#include "launcher/report_command.h"
#include "launcher/settings_option.h"
#include "launcher/simulate_command.h"
#include "launcher/status_command.h"
#include "launcher/sweep_command.h"
#include "launcher/train_command.h"
#include "runtime/run_config.h"

namespace hetmoe {
namespace {

/// Set by the subcommand that the command line names.
using Action = std::function<int()>;

const std::vector<std::string> kStrategies = {"slices", "whole", "eplb", "contiguous"};

void add_train(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("train", "Train a model, alone or under mpirun or srun");
  auto options = std::make_shared<TrainOptions>();
  command->add_option("CONFIG", options->config_path, "Configuration file")
      ->required()
      ->type_name("");
  add_settings(*command, options->settings);
  command
      ->add_option("--run-dir", options->run_dir,
                   "Folder for the files of this run; one that holds checkpoints is gone on with "
                   "(default: a new one under runs/)")
      ->type_name("DIR");
  command
      ->add_option("--resume", options->resume,
                   "auto: go on from the newest checkpoint in the run directory; never; or the "
                   "path of a checkpoint or run directory (default: auto)")
      ->type_name("auto|never|PATH");
  add_init(*command, options->init, options->resume);
  command
      ->add_option("--profile", options->profile_steps,
                   "Tell where the time of so many steps goes, in RUN_DIR/profile: a table and a "
                   "trace for chrome://tracing of every rank")
      ->type_name("STEPS")
      ->check(CLI::Range(1, 1000));
  command->add_flag_callback(
      "--help-config",
      [] {
        std::cout << help_config();
        throw CLI::Success();
      },
      "Explain every configuration key and exit");
  command->footer(
      "Example:\n"
      "  mpirun -np 2 hetmoe train configs/tiny.yaml --set train.steps=100 --run-dir runs/a");
  command->callback(
      [options, &action] { action = [options] { return run_train_command(*options); }; });
}

void add_plan(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("plan", "Plan where experts go, without starting ranks");
  auto options = std::make_shared<PlanOptions>();
  auto* config = command
                     ->add_option("CONFIG", options->config_path,
                                  "Configuration file, planned from a uniform load")
                     ->type_name("");
  auto* problem = command->add_option("--problem", options->problem_path, "Planner problem as JSON")
                      ->type_name("FILE.json")
                      ->excludes(config);
  auto* ranks = command->add_option("--ranks", options->ranks, "Ranks to plan for")
                    ->type_name("N")
                    ->check(CLI::PositiveNumber)
                    ->excludes(problem);
  config->needs(ranks);
  add_settings(*command, options->settings)->excludes(problem);
  command
      ->add_option("--cluster", options->cluster_path,
                   "Cluster file: plan for the least predicted seconds")
      ->type_name("FILE.yaml");
  auto* strategy =
      command
          ->add_option("--strategy", options->strategy,
                       "How experts are placed; eplb: equal count weighted by load (default: "
                       "placement.strategy, or slices)")
          ->type_name("NAME")
          ->check(CLI::IsMember(kStrategies));
  auto* exact = command->add_flag("--exact", options->exact,
                                  "Solve a mixed-integer programme per layer instead");
  exact->excludes(strategy);
  command
      ->add_option("--exact-seconds", options->exact_seconds,
                   "Longest time per layer (default: 60)")
      ->type_name("S")
      ->check(CLI::PositiveNumber)
      ->needs(exact);
  command->add_option("--out", options->out_path, "Write the plan as JSON")->type_name("FILE");
  command->add_flag("--json", options->json, "Print the plan as one JSON document");
  command->footer("Example:\n  hetmoe plan configs/hmoe_3b_top_k.yaml --ranks 8");
  command->callback([options, command, &action] {
    if (options->problem_path.empty() && options->config_path.empty()) {
      throw CLI::RequiredError("CONFIG with --ranks, or --problem");
    }
    action = [options] { return run_plan_command(*options); };
  });
}

void add_calibrate(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand(
      "calibrate", "Measure this cluster for plan and simulate, alone or under mpirun or srun");
  auto options = std::make_shared<CalibrateOptions>();
  command->add_option("--out", options->out_path, "Cluster file to write")
      ->required()
      ->type_name("FILE");
  auto* config = command
                     ->add_option("CONFIG", options->config_path,
                                  "Measure the sizes of this configuration (default: a grid)")
                     ->type_name("");
  add_settings(*command, options->settings)->needs(config);
  command
      ->add_option("--precision", options->precision,
                   "fp32, bf16 or auto (default: the configuration's, or auto: the faster)")
      ->type_name("NAME")
      ->check(CLI::IsMember({"fp32", "bf16", "auto"}));
  command
      ->add_option("--threads", options->threads,
                   "Per rank (default: the configuration's, or the cores of the rank's affinity "
                   "mask over the ranks that share it)")
      ->type_name("N")
      ->check(CLI::Range(1, 4096));
  command
      ->add_option("--seconds", options->seconds,
                   "Time to measure for, about; the least repetitions may take longer "
                   "(default: 60)")
      ->type_name("S")
      ->check(CLI::Range(0.001, 86400.0));
  command->add_flag("--json", options->json, "Print the cluster as one JSON document");
  command->footer("Example:\n  mpirun -np 2 hetmoe calibrate --out cluster.yaml");
  command->callback(
      [options, &action] { action = [options] { return run_calibrate_command(*options); }; });
}

void add_simulate(CLI::App& app, Action& action) {
  auto* command =
      app.add_subcommand("simulate", "Predict a step on a cluster, without starting ranks");
  auto options = std::make_shared<SimulateOptions>();
  command->add_option("CONFIG", options->config_path, "Configuration file")
      ->required()
      ->type_name("");
  command->add_option("--cluster", options->cluster_path, "Speeds of the cluster's ranks and links")
      ->required()
      ->type_name("FILE");
  command->add_option("--ranks", options->ranks, "Ranks, up to 16384")
      ->required()
      ->type_name("N")
      ->check(CLI::Range(1, 16384));
  command
      ->add_option("--workload", options->workload,
                   "How routing loads experts, W0 evenly (default: "
                   "model.router.forced, or W0)")
      ->type_name("NAME")
      ->check(CLI::IsMember({"W0", "W1", "W2", "W3", "W4", "W5", "W6", "W7", "all"}));
  command
      ->add_option("--width-ratios", options->width_ratios,
                   "Largest over smallest expert, one line of a comparison each: 1,2.56,9")
      ->type_name("R,...")
      ->delimiter(',')
      ->check(CLI::Range(1.0, 1000.0));
  command
      ->add_option("--strategy", options->strategy,
                   "How experts are placed (default: placement.strategy)")
      ->type_name("NAME")
      ->check(CLI::IsMember(kStrategies));
  command
      ->add_option("--ranks-per-node", options->ranks_per_node, "Default: as in the cluster file")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--expert-group-size", options->expert_group_size,
                   "Ranks that together hold one copy of all experts (default: as configured)")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--sequences-per-rank", options->sequences_per_rank,
                   "Let the batch grow with the ranks: sequences of each rank in a step")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 20));
  add_settings(*command, options->settings);
  command->add_option("--seed", options->seed, "Of the workload (default: train.seed)")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--svg", options->svg_path, "Draw each rank's time, with and without balancing")
      ->type_name("FILE");
  command->add_flag("--json", options->json, "Print one JSON document");
  command->footer(
      "Example:\n"
      "  hetmoe simulate configs/hmoe_3b_top_k.yaml --ranks 64 --sequences-per-rank 10 --workload "
      "W3 "
      "\\\n      --cluster configs/clusters/h100_8x_400gbps.yaml --svg step.svg");
  command->callback(
      [options, &action] { action = [options] { return run_simulate_command(*options); }; });
}

void add_inspect(CLI::App& data, Action& action) {
  auto* command = data.add_subcommand("inspect", "Print what a token shard holds");
  auto prefix = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  command
      ->add_option("SHARD", *prefix,
                   "PREFIX of PREFIX.bin and PREFIX.idx, a file of llm.c or nanoGPT, or a quoted "
                   "pattern of several: 'data/part_*.bin'")
      ->required()
      ->type_name("");
  command->add_flag("--json", *json, "Print one JSON document");
  command->footer("Example:\n  hetmoe data inspect data/text/train");
  command->callback([prefix, json, &action] {
    action = [prefix, json] { return run_data_inspect_command(*prefix, *json); };
  });
}

/// The subcommand that the line got as far as naming.
const CLI::App& innermost(const CLI::App& app) {
  const auto named = app.get_subcommands();
  return named.empty() ? app : innermost(*named.front());
}

std::string full_name(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  return parent ? full_name(*parent) + " " + command.get_name() : command.get_name();
}

std::string usage_message(const CLI::App& command, const CLI::ParseError& error) {
  const auto commands = command.get_subcommands([](const CLI::App*) { return true; });
  if (commands.empty()) return error.what();
  std::string names;
  for (const auto* known : commands) names += (names.empty() ? "" : ", ") + known->get_name();
  const auto words = command.remaining();
  return (words.empty() ? "command missing" : words.front() + ": unknown command") +
         ", allowed: " + names;
}

/// The usage error in one line, with the place where help is.
int report_usage_error(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& command = innermost(app);
  std::string message = usage_message(command, error);
  std::replace(message.begin(), message.end(), '\n', ' ');
  std::cerr << "hetmoe: " << message << " (see " << full_name(command) << " --help)\n";
  return static_cast<int>(ExitCode::kConfiguration);
}

}  // namespace

int run_command_line(int argc, const char* const* argv) {
  CLI::App app("Trains mixtures of experts of unequal size over MPI.", "hetmoe");
  app.set_version_flag("--version", "hetmoe " HETMOE_VERSION);
  app.formatter(help_format());
  app.require_subcommand(1);
  app.footer("Example:\n  mpirun -np 2 hetmoe train configs/tiny.yaml");
  Action action;
  add_train(app, action);
  add_launch(app, action);
  add_plan(app, action);
  add_calibrate(app, action);
  add_simulate(app, action);
  add_evaluate_command(app, action);
  add_generate_command(app, action);
  auto* data = app.add_subcommand("data", "Prepare and inspect token shards");
  data->require_subcommand(1);
  data->footer("Example:\n  hetmoe data prepare text/*.txt --out data/text");
  add_prepare_command(*data, action);
  add_inspect(*data, action);
  add_checkpoint_command(app, action);
  add_export_command(app, action);
  add_import_command(app, action);
  add_coordinator_command(app, action);
  add_status_command(app, action);
  add_ask_commands(app, action);
  add_report_command(app, action);
  add_sweep_command(app, action);
  add_doctor_command(app, action);
  add_completion_command(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const bool is_usage_error = error.get_exit_code() != static_cast<int>(CLI::ExitCodes::Success);
    return is_usage_error ? report_usage_error(app, error) : app.exit(error);
  }
  return action();
}

}  // namespace hetmoe
