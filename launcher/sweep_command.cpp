#include "launcher/sweep_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/files/atomic_file.h"
#include "launcher/error_text.h"
#include "launcher/report_command.h"
#include "launcher/surroundings.h"
#include "launcher/sweep/compared_runs.h"
#include "launcher/sweep/sweep_file.h"
#include "launcher/sweep/sweep_runs.h"
#include "parallel/communicator/mpi_communicator.h"
#include "runtime/report/comparison_text.h"
#include "runtime/report/page/report_page.h"
#include "runtime/report/story/read_story.h"
#include "runtime/run_config.h"

namespace hetmoe {
namespace {

static_assert(kMostSweepRuns <= kMostRuns, "one page compares all runs of a sweep");

struct CommandOptions {
  std::string sweep_path;
  SweepOptions start;
  bool dry_run = false;
};

/// A fault that several runs share is told once.
void require_good_configurations(const Sweep& sweep) {
  std::vector<std::pair<std::string, std::vector<std::string>>> faults;
  for (const SweepRun& run : sweep.runs) {
    try {
      load_run_config(sweep.config_path, run.settings);
    } catch (const ConfigError& error) {
      std::istringstream lines(error.what());
      for (std::string line; std::getline(lines, line);) {
        const auto known = std::find_if(faults.begin(), faults.end(),
                                        [&](const auto& fault) { return fault.first == line; });
        if (known != faults.end()) {
          known->second.push_back(run.name);
        } else {
          faults.push_back({line, {run.name}});
        }
      }
    }
  }
  std::string text;
  for (const auto& [line, runs] : faults) {
    const std::string others =
        runs.size() > 1 ? " and " + std::to_string(runs.size() - 1) + " more" : "";
    text += (text.empty() ? "run " : "\nrun ") + runs.front() + others + ": " + line;
  }
  if (!text.empty()) throw ConfigError(text);
}

void print_lines(const SweepOptions& options, const Sweep& sweep) {
  for (const SweepRun& run : sweep.runs)
    std::cout << shell_line(run_command(options, sweep, run, running_program())) << '\n';
}

/// Of all runs that have begun, also those of an earlier call.
void compare(const SweepOptions& options, const Sweep& sweep) {
  const double now = SystemClock().wall_seconds();
  std::vector<RunStory> stories;
  std::vector<ComparedRun> lines;
  for (const SweepRun& run : sweep.runs) {
    const std::filesystem::path directory = options.folder / run.name;
    if (!is_run_directory(directory)) continue;
    stories.push_back(story_of_run(directory.string(), now));
    lines.push_back(compared_run(stories.back(), directory));
  }
  if (stories.empty()) return;
  const std::filesystem::path page = options.folder / kComparisonFile;
  write_file_atomically(page, report_page(stories, now));
  std::cout << '\n' << comparison_text(lines) << '\n';
  tell_written(page);
}

void tell_outcomes(const std::vector<SweepOutcome>& outcomes, std::size_t runs) {
  std::size_t finished = 0;
  std::size_t submitted = 0;
  for (const SweepOutcome& outcome : outcomes) {
    const std::string line = "sweep: " + outcome.name;
    switch (outcome.kind) {
      case SweepOutcome::Kind::kFinished:
        ++finished;
        break;
      case SweepOutcome::Kind::kPassedOver:
        if (outcome.reason.starts_with("submitted")) {
          std::cout << line << ": " << outcome.reason << '\n';
        } else {
          ++finished;
        }
        break;
      case SweepOutcome::Kind::kSubmitted:
        ++submitted;
        break;
      case SweepOutcome::Kind::kStopped:
        print_error(line + " stopped: " + outcome.reason + "; call again to go on");
        break;
      case SweepOutcome::Kind::kFailed:
        print_error(line + " failed with code " + std::to_string(outcome.code) + ": " +
                    outcome.reason);
        break;
    }
  }
  std::cout << "sweep: " << finished << " of " << runs << " runs finished";
  if (submitted > 0)
    std::cout << ", " << submitted << " submitted; call again to compare what there is";
  std::cout << std::endl;
}

int run_sweep_command(const CommandOptions& options) {
  if (MpiRuntime::is_launched())
    throw ConfigError("hetmoe sweep starts mpirun itself: call it without mpirun or srun");
  const Sweep sweep = read_sweep(options.sweep_path);
  require_good_configurations(sweep);
  if (options.dry_run) {
    print_lines(options.start, sweep);
    return 0;
  }
  const std::vector<SweepOutcome> outcomes = start_runs(options.start, sweep);
  compare(options.start, sweep);
  tell_outcomes(outcomes, sweep.runs.size());
  return exit_code_of(outcomes);
}

}  // namespace

void add_sweep_command(CLI::App& app, std::function<int()>& action) {
  auto* command = app.add_subcommand(
      "sweep", "Train one configuration with several values of its keys, and compare");
  auto options = std::make_shared<CommandOptions>();
  command
      ->add_option("SWEEP", options->sweep_path,
                   "File that names a configuration, keys to set, runs and a grid of values")
      ->required()
      ->type_name("");
  command
      ->add_option("--out", options->start.folder,
                   "Folder that gets a run directory for each run, and comparison.html; what is "
                   "finished there is passed over")
      ->required()
      ->type_name("FOLDER");
  auto* ranks = command->add_option("--ranks", options->start.ranks, "Ranks of a run (default: 1)")
                    ->type_name("N")
                    ->check(CLI::Range(1, 1 << 20));
  auto* words =
      command
          ->add_option("--launch-option", options->start.launch_options,
                       "One more word for hetmoe launch, as in --launch-option=--hostfile; may be "
                       "repeated")
          ->type_name("WORD")
          ->expected(1)
          ->take_all()
          ->allow_extra_args(false);
  command
      ->add_option("--submit", options->start.submit,
                   "Hand each run to a batch system instead: a shell's line that gets "
                   "configuration, run directory and settings")
      ->type_name("LINE")
      ->excludes(ranks)
      ->excludes(words);
  command->add_flag("--dry-run", options->dry_run, "Check every configuration, print the lines");
  command->footer(
      "A sweep file: {config: configs/tiny.yaml, set: {train.steps: 400},\n"
      "               runs: {equal: {model.experts.shape: homogeneous}, unequal: {}},\n"
      "               grid: {train.seed: [1, 2]}}\n"
      "Examples:\n"
      "  hetmoe sweep configs/sweeps/hmoe_ablations.yaml --out runs/ablations --ranks 2\n"
      "  hetmoe sweep my.yaml --out runs/my --submit 'sbatch --nodes=2 "
      "deploy/slurm/train.sbatch'");
  command->callback(
      [options, &action] { action = [options] { return run_sweep_command(*options); }; });
}

}  // namespace hetmoe
