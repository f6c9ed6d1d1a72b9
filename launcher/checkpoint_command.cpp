#include "launcher/checkpoint_command.h"

#include <CLI/CLI.hpp>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "core/base/error.h"
#include "launcher/error_text.h"
#include "runtime/checkpoint/checkpoint_folder.h"
#include "runtime/checkpoint/checkpoint_reader.h"
#include "runtime/metrics/utc_time.h"
#include "runtime/report/checkpoint_text.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;

struct CheckpointOptions {
  std::string path;
  bool tensors = false;
  bool json = false;
};

std::string time_of(const fs::path& file) {
  std::error_code failure;
  const auto written = fs::last_write_time(file, failure);
  if (failure) return "unknown";
  const auto since_epoch = std::chrono::file_clock::to_sys(written).time_since_epoch();
  return iso8601_utc(std::chrono::duration<double>(since_epoch).count());
}

std::int64_t bytes_in(const fs::path& folder) {
  std::int64_t bytes = 0;
  std::error_code failure;
  for (fs::directory_iterator entry(folder, failure), end; !failure && entry != end;
       entry.increment(failure)) {
    std::error_code ignored;
    const auto size = entry->is_regular_file(ignored) ? entry->file_size(ignored) : 0;
    if (!ignored) bytes += static_cast<std::int64_t>(size);
  }
  return bytes;
}

ListedCheckpoint listed(const CheckpointReader& reader) {
  const Manifest& manifest = reader.manifest();
  return {.path = reader.path().string(),
          .step = manifest.step,
          .committed = true,
          .bytes = bytes_in(reader.path()),
          .saved = time_of(reader.path() / kCommittedName),
          .tokens = manifest.tokens,
          .generation = manifest.generation,
          .ranks = manifest.state.ranks,
          .files = manifest.files.size()};
}

ListedCheckpoint listed(const fs::path& folder) {
  try {
    return listed(CheckpointReader(folder));
  } catch (const StorageError& error) {
    return {.path = folder.string(),
            .step = step_of_folder((folder / "").parent_path().filename().string()),
            .committed = is_committed(folder),
            .fault = error.what(),
            .bytes = bytes_in(folder)};
  }
}

int list(const CheckpointOptions& options) {
  std::vector<ListedCheckpoint> checkpoints;
  for (const fs::path& folder : step_folders(options.path)) checkpoints.push_back(listed(folder));
  std::cout << (options.json ? checkpoint_list_json(checkpoints)
                             : checkpoint_list_text(checkpoints));
  return 0;
}

VerifiedCheckpoint verified(const fs::path& folder) {
  VerifiedCheckpoint found{.path = folder.string(), .bytes = bytes_in(folder)};
  const auto note_fault = [&](auto&& action) {
    try {
      action();
    } catch (const StorageError& error) {
      found.faults.emplace_back(error.what());
    }
  };
  std::optional<CheckpointReader> reader;
  note_fault([&] { reader.emplace(folder); });
  if (!reader) return found;
  found.files = reader->manifest().files.size();
  for (std::size_t file = 0; file < found.files; ++file) {
    note_fault([&] { reader->verify_file(file); });
  }
  return found;
}

int verify(const CheckpointOptions& options) {
  resolve_checkpoint(options.path);  // nothing committed is nothing verified
  std::vector<VerifiedCheckpoint> checkpoints;
  std::size_t unfinished = 0, damaged = 0;
  for (const fs::path& folder : step_folders(options.path)) {
    if (!is_committed(folder)) {
      ++unfinished;
      continue;
    }
    checkpoints.push_back(verified(folder));
    if (!checkpoints.back().faults.empty()) ++damaged;
  }
  std::cout << (options.json ? checkpoint_verification_json(checkpoints, unfinished)
                             : checkpoint_verification_text(checkpoints, unfinished));
  if (damaged == 0) return 0;
  print_error("'" + options.path + "': damaged: " + std::to_string(damaged) + " of " +
              std::to_string(checkpoints.size()) + " committed checkpoints");
  return static_cast<int>(ExitCode::kStorage);
}

int inspect(const CheckpointOptions& options) {
  const CheckpointReader reader(resolve_checkpoint(options.path));
  std::cout << (options.json ? checkpoint_json(reader.manifest(), listed(reader), options.tensors)
                             : checkpoint_text(reader.manifest(), listed(reader), options.tensors));
  return 0;
}

using Run = int (*)(const CheckpointOptions&);

CLI::App* add(CLI::App& group, const std::string& name, const std::string& purpose, Run run,
              const std::shared_ptr<CheckpointOptions>& options, std::function<int()>& action) {
  auto* command = group.add_subcommand(name, purpose);
  command
      ->add_option("PATH", options->path,
                   "Run directory, its folder checkpoints, or one step's folder")
      ->required()
      ->type_name("");
  command->add_flag("--json", options->json, "Print one JSON document");
  command->callback([options, run, &action] { action = [options, run] { return run(*options); }; });
  return command;
}

}  // namespace

void add_checkpoint_command(CLI::App& app, std::function<int()>& action) {
  auto* group = app.add_subcommand("checkpoint", "List, verify and inspect a run's checkpoints");
  group->require_subcommand(1);
  group->footer("Example:\n  hetmoe checkpoint verify runs/a");
  const auto options = std::make_shared<CheckpointOptions>();
  add(*group, "list", "Print the steps that were saved", list, options, action)
      ->footer("Example:\n  hetmoe checkpoint list runs/a");
  add(*group, "verify", "Read all files and compare their digests; exit code 3 when one differs",
      verify, options, action)
      ->footer("Example:\n  hetmoe checkpoint verify runs/a/checkpoints/step-00000500");
  auto* shown = add(*group, "inspect", "Print what the newest committed checkpoint holds", inspect,
                    options, action);
  shown->add_flag("--tensors", options->tensors, "With every tensor and where its rows stand");
  shown->footer("Example:\n  hetmoe checkpoint inspect runs/a --tensors");
}

}  // namespace hetmoe
