#include "launcher/sweep/sweep_runs.h"

#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "core/base/error.h"
#include "core/config/field.h"
#include "core/config/value_text.h"
#include "core/files/atomic_file.h"
#include "launcher/exit_record.h"
#include "launcher/mpirun_process.h"
#include "launcher/signal_queue.h"
#include "launcher/surroundings.h"
#include "runtime/run_config.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;
using Kind = SweepOutcome::Kind;

constexpr double kLongestLookSeconds = 1;
/// Killed by a signal: what a shell says of such a process, less the signal.
constexpr int kSignalBase = 128;

/// Sections that a run's losses depend on.
bool shapes_results(const std::string& key) {
  constexpr std::array<std::string_view, 4> kSections = {"model.", "data.", "train.", "evaluate."};
  return std::any_of(kSections.begin(), kSections.end(),
                     [&](std::string_view section) { return key.starts_with(section); });
}

/// Fields point at members that may be written, hence the copies.
bool gives_same_results(RunConfig saved, RunConfig wanted) {
  if (wanted.train.precision == Precision::kAuto) wanted.train.precision = saved.train.precision;
  const std::vector<Field> saved_fields = list_fields(saved);
  const std::vector<Field> wanted_fields = list_fields(wanted);
  for (std::size_t i = 0; i < wanted_fields.size(); ++i) {
    if (shapes_results(wanted_fields[i].key) &&
        yaml_text(saved_fields[i].value) != yaml_text(wanted_fields[i].value)) {
      return false;
    }
  }
  return true;
}

std::string last_reason(const fs::path& run_directory, const std::string& otherwise) {
  const auto record = read_exit_record(run_directory);
  return record ? record->reason : otherwise;
}

/// What a batch system answered when the run was handed to it.
fs::path submission_file(const SweepOptions& options, const SweepRun& run) {
  return options.folder / (run.name + kSubmittedEnding);
}

SweepOutcome submit(const SweepOptions& options, const Sweep& sweep, const SweepRun& run) {
  const fs::path answer_file = submission_file(options, run);
  std::error_code ignored;
  if (fs::exists(answer_file, ignored))
    return {run.name, Kind::kPassedOver, 0,
            "submitted before; remove " + answer_file.string() + " to submit it again"};
  const std::string line = shell_line(run_command(options, sweep, run, ""));
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(::popen(line.c_str(), "r"), ::pclose);
  if (!pipe) throw StorageError("cannot start a shell for: " + line);
  std::string answer;
  std::array<char, 4096> block{};
  while (const std::size_t got = std::fread(block.data(), 1, block.size(), pipe.get()))
    answer.append(block.data(), got);
  const int status = ::pclose(pipe.release());
  std::cout << answer << std::flush;
  if (status != 0) {
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : kSignalBase + WTERMSIG(status);
    return {run.name, Kind::kFailed, static_cast<int>(ExitCode::kCommunication),
            "not submitted: the line ended with code " + std::to_string(code)};
  }
  write_file_atomically(answer_file, answer);
  return {run.name, Kind::kSubmitted, 0, ""};
}

/// Waits for a run and passes signals on to it.
ProcessEnd wait_for(MpirunProcess& launch, const SignalQueue& signals, bool& stop_asked) {
  while (true) {
    if (const auto end = launch.poll()) return *end;
    const int signal = signals.wait(kLongestLookSeconds);
    if (signal == 0 || signal == SIGCHLD) continue;
    stop_asked = true;
    launch.signal(signal);
  }
}

SweepOutcome launch(const SweepOptions& options, const Sweep& sweep, const SweepRun& run,
                    const SignalQueue& signals, bool& stop_asked) {
  MpirunProcess launched(run_command(options, sweep, run, running_program()));
  const ProcessEnd end = wait_for(launched, signals, stop_asked);
  const int code = end.signal != 0 ? kSignalBase + end.signal : end.code;
  if (code == 0) return {run.name, Kind::kFinished, 0, ""};
  const bool stopped = code == static_cast<int>(ExitCode::kStoppedBySignal);
  return {run.name, stopped ? Kind::kStopped : Kind::kFailed, code,
          last_reason(options.folder / run.name, "ended with code " + std::to_string(code))};
}

void say_begin(std::size_t number, const Sweep& sweep, const std::string& words) {
  std::cout << "sweep: run " << number << " of " << sweep.runs.size() << ", "
            << sweep.runs[number - 1].name << ": " << words << std::endl;
}

}  // namespace

Command run_command(const SweepOptions& options, const Sweep& sweep, const SweepRun& run,
                    const std::string& program) {
  const std::string directory = (options.folder / run.name).string();
  Command command;
  if (!options.submit.empty()) {
    command.words = {"sh", "-c", options.submit + " \"$@\"", "sh", sweep.config_path, directory};
  } else {
    command.words = {
        program,     "launch", sweep.config_path, "--ranks", std::to_string(options.ranks),
        "--run-dir", directory};
    command.words.insert(command.words.end(), options.launch_options.begin(),
                         options.launch_options.end());
  }
  for (const std::string& setting : run.settings) {
    command.words.insert(command.words.end(), {"--set", setting});
  }
  return command;
}

bool is_finished(const fs::path& run_directory, const Sweep& sweep, const SweepRun& run) {
  const auto record = read_exit_record(run_directory);
  if (!record || record->code != ExitCode::kDone) return false;
  try {
    return gives_same_results(load_run_config((run_directory / "config.yaml").string(), {}),
                              load_run_config(sweep.config_path, run.settings));
  } catch (const std::exception&) {
    return false;  // what is wrong there, the run itself says better
  }
}

std::vector<SweepOutcome> start_runs(const SweepOptions& options, const Sweep& sweep) {
  std::error_code error;
  fs::create_directories(options.folder, error);
  if (error)
    throw StorageError("cannot make the folder '" + options.folder.string() +
                       "': " + error.message());
  std::optional<SignalQueue> signals;
  if (options.submit.empty()) signals.emplace();  // a shell's children would inherit what it blocks
  std::vector<SweepOutcome> outcomes;
  bool stop_asked = false;
  for (std::size_t i = 0; i < sweep.runs.size() && !stop_asked; ++i) {
    const SweepRun& run = sweep.runs[i];
    if (is_finished(options.folder / run.name, sweep, run)) {
      say_begin(i + 1, sweep, "finished before");
      outcomes.push_back({run.name, Kind::kPassedOver, 0, "finished before"});
      continue;
    }
    say_begin(i + 1, sweep, signals ? "launched" : "submitted");
    outcomes.push_back(signals ? launch(options, sweep, run, *signals, stop_asked)
                               : submit(options, sweep, run));
  }
  // One that finished all the same was the last that began.
  if (stop_asked && outcomes.size() < sweep.runs.size())
    outcomes.push_back({sweep.runs[outcomes.size()].name, Kind::kStopped,
                        static_cast<int>(ExitCode::kStoppedBySignal), "not begun"});
  return outcomes;
}

int exit_code_of(const std::vector<SweepOutcome>& outcomes) {
  const auto stopped = std::find_if(outcomes.begin(), outcomes.end(), [](const auto& outcome) {
    return outcome.kind == Kind::kStopped;
  });
  if (stopped != outcomes.end()) return static_cast<int>(ExitCode::kStoppedBySignal);
  const auto failed = std::find_if(outcomes.begin(), outcomes.end(),
                                   [](const auto& outcome) { return outcome.code != 0; });
  return failed == outcomes.end() ? 0 : failed->code;
}

}  // namespace hetmoe
