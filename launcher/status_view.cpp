#include "launcher/status_view.h"

#include <cstdio>
#include <iostream>

#include "core/base/clock.h"
#include "launcher/error_text.h"
#include "launcher/exit_record.h"
#include "launcher/last_lines.h"
#include "runtime/metrics/run_directory.h"
#include "runtime/report/console.h"
#include "runtime/run_config.h"

namespace hetmoe {
namespace {

constexpr std::size_t kShownLines = 5;

/// 0 where no configuration can be read: a figure more or less.
std::int64_t configured_steps(const RunDirectory& directory) {
  try {
    return load_run_config(directory.config_file().string(), {}).train.steps;
  } catch (const Error&) {
    return 0;
  }
}

std::string files_note(const RunTail& tail, const std::filesystem::path& run_directory) {
  std::string names;
  if (!tail.metrics.empty()) names = "metrics.jsonl";
  if (!tail.events.empty()) names += std::string(names.empty() ? "" : " and ") + "events.jsonl";
  const std::string folder = "'" + run_directory.string() + "'";
  return names.empty() ? folder + " holds no metrics.jsonl" : "from " + names + " in " + folder;
}

}  // namespace

StatusView::StatusView(const CoordinatorTarget& target, const StatusViewOptions& options)
    : target_(target),
      options_(options),
      is_live_(options.repeated && !options.json && is_live_terminal(stdout)) {}

void StatusView::show(const CoordinatorStatus& status) {
  is_away_ = false;
  const RunSurroundings run = look_around();
  print(options_.json ? coordinator_json(status, run) : coordinator_text(status, run));
}

void StatusView::show_files(const CoordinatorError& error) {
  const bool is_new = !is_away_;
  is_away_ = true;
  const RunSurroundings run = look_around();
  RunTail tail;
  std::string note = target_.explained(error);
  if (target_.has_run_directory()) {
    const RunDirectory directory = RunDirectory::open(target_.run_directory());
    tail = {.metrics = last_lines(directory.metrics_file(), kShownLines),
            .events = last_lines(directory.events_file(), kShownLines)};
    note += "; " + files_note(tail, directory.path());
  }
  const bool is_told = run.end || is_live_;
  if (is_new && !is_told) print_error(note);
  if (options_.json) {
    print(run_tail_json(tail, run));
  } else if (is_live_ && !run.end) {
    print(note + "\n" + run_tail_text(tail, run));
  } else if (is_new || is_live_ || run.end) {
    print(run_tail_text(tail, run));
  }
}

bool StatusView::is_read() const { return std::cout.good(); }

RunSurroundings StatusView::look_around() {
  RunSurroundings run{.wall_seconds_now = SystemClock().wall_seconds()};
  if (!target_.has_run_directory()) return run;
  const auto record = read_exit_record(target_.run_directory());
  if (record) run.end = RunEnd{.code = static_cast<int>(record->code), .reason = record->reason};
  run.steps = configured_steps(RunDirectory::open(target_.run_directory()));
  end_ = run.end;
  return run;
}

void StatusView::print(const std::string& text) {
  if (is_live_) {
    std::cout << block_.redrawn(text, terminal_size(stdout));
  } else {
    std::cout << text << (options_.repeated && !options_.json ? "\n" : "");
  }
  std::cout << std::flush;
}

}  // namespace hetmoe
