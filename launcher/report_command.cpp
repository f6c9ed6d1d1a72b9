#include "launcher/report_command.h"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/files/atomic_file.h"
#include "launcher/error_text.h"
#include "launcher/exit_record.h"
#include "runtime/report/page/report_page.h"
#include "runtime/report/quantity_text.h"
#include "runtime/report/story/metrics_csv.h"
#include "runtime/report/story/read_story.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;

struct ReportOptions {
  std::vector<std::string> runs;
  std::string out_path;  ///< empty: report.html in the first run directory
  std::string csv_path;
};

void require_runs(const std::vector<std::string>& runs) {
  if (runs.size() > kMostRuns)
    throw ConfigError("report: " + std::to_string(runs.size()) +
                      " run directories given, allowed: 1 to " + std::to_string(kMostRuns));
  for (const std::string& run : runs) {
    if (is_run_directory(run)) continue;
    throw ConfigError("'" + run +
                      "' is no run directory: it holds none of metrics.jsonl, events.jsonl, "
                      "config.yaml, plan.json, exit.json and checkpoints");
  }
}

int run_report_command(const ReportOptions& options) {
  require_runs(options.runs);
  const fs::path out = options.out_path.empty() ? fs::path(options.runs.front()) / "report.html"
                                                : fs::path(options.out_path);
  require_writable(out);
  if (!options.csv_path.empty()) require_writable(options.csv_path);
  const double now = SystemClock().wall_seconds();
  std::vector<RunStory> stories;
  for (const std::string& run : options.runs) stories.push_back(story_of_run(run, now));
  write_file_atomically(out, report_page(stories, now));
  tell_written(out);
  if (options.csv_path.empty()) return 0;
  std::string csv;
  write_metrics_csv({options.runs.begin(), options.runs.end()},
                    [&](std::string_view part) { csv += part; });
  write_file_atomically(options.csv_path, csv);
  tell_written(options.csv_path);
  return 0;
}

}  // namespace

RunStory story_of_run(const std::string& run, double now) {
  std::optional<StoryEnd> end;
  if (const auto record = read_exit_record(run))
    end = StoryEnd{.code = static_cast<int>(record->code), .reason = record->reason};
  RunStory story = read_run_story(run, end, now);
  for (const std::string& text : story.passed_over) print_error("'" + run + "': " + text);
  return story;
}

void tell_written(const fs::path& path) {
  std::error_code ignored;
  const auto bytes = static_cast<std::int64_t>(fs::file_size(path, ignored));
  std::cout << "written: " << path.string() << " (" << bytes_text(bytes) << ")\n";
}

void add_report_command(CLI::App& app, std::function<int()>& action) {
  auto* command =
      app.add_subcommand("report", "Show a run, or several beside one another, as a page");
  auto options = std::make_shared<ReportOptions>();
  command
      ->add_option("RUN_DIR", options->runs,
                   "Run directory, also of a run that goes on; several are compared")
      ->required()
      ->type_name("");
  command
      ->add_option("--out", options->out_path,
                   "HTML file to write (default: report.html in the first RUN_DIR)")
      ->type_name("FILE");
  command
      ->add_option("--csv", options->csv_path,
                   "Also write the training lines as one table, the last line of each step")
      ->type_name("FILE");
  command->footer("Example:\n  hetmoe report runs/a runs/b --out comparison.html");
  command->callback(
      [options, &action] { action = [options] { return run_report_command(*options); }; });
}

}  // namespace hetmoe
