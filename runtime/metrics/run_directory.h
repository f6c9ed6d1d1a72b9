#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/clock.h"
#include "core/base/error.h"

namespace hetmoe {

/// The folder of one run: what stands where, and that no two runs share it. Rank 0 creates it and
/// sends the path to the others, which open it. Errors: StorageError that names the path.
class RunDirectory {
 public:
  /// Without `given`: a new `runs/<config_name>-<UTC time>-<suffix>` under the working directory.
  /// With it: that folder, made when absent; refused when a run has used it (it holds
  /// metrics.jsonl, config.yaml or checkpoints). Takes it by creating an empty metrics.jsonl, so
  /// that of two runs started at once only one gets it; makes logs/.
  static RunDirectory create(const std::optional<std::filesystem::path>& given,
                             std::string_view config_name, const Clock& clock);

  /// The folder that rank 0 has created or continues, seen from another rank. Looks at nothing.
  static RunDirectory open(std::filesystem::path path);

  /// Makes the folder when absent.
  void make() const;
  /// Refuses a folder that a run has used, as create does.
  void require_unused() const;
  /// For whoever holds the folder's lock: makes metrics.jsonl and logs/ when absent, removes
  /// exit.json. Gives whether a run has used the folder before: it holds checkpoints, or
  /// metrics.jsonl and config.yaml. An empty metrics.jsonl alone is of a run that never started.
  /// A folder with just one of the two otherwise is refused: it is nobody's to write into.
  bool prepare() const;

  const std::filesystem::path& path() const { return path_; }
  /// What the run is called: the last part of the path.
  std::string name() const;
  std::filesystem::path metrics_file() const { return path_ / "metrics.jsonl"; }
  std::filesystem::path events_file() const { return path_ / "events.jsonl"; }
  std::filesystem::path config_file() const { return path_ / "config.yaml"; }
  std::filesystem::path plan_file() const { return path_ / "plan.json"; }
  std::filesystem::path cluster_file() const { return path_ / "cluster.yaml"; }
  std::filesystem::path profile_folder() const { return path_ / "profile"; }
  std::filesystem::path checkpoints_folder() const { return path_ / "checkpoints"; }
  std::filesystem::path coordinator_file() const { return path_ / "coordinator.json"; }
  std::filesystem::path coordinator_journal() const { return path_ / "coordinator.journal"; }
  std::filesystem::path scrape_targets_file() const { return path_ / "prometheus/targets.json"; }
  std::filesystem::path scrape_token_file() const { return path_ / "prometheus/token"; }
  std::filesystem::path scrape_certificate_file() const {
    return path_ / "prometheus/certificate.pem";
  }
  std::filesystem::path lock_file() const { return path_ / "lock.json"; }
  std::filesystem::path log_file(int rank) const;

  /// Gives back a folder in which no step was taken: metrics.jsonl (if empty), config.yaml,
  /// plan.json, cluster.yaml, events.jsonl, the coordinator's journal and what Prometheus was told
  /// go, exit.json and the logs stay. Removes nothing when there are steps or checkpoints, or when
  /// the lock is another process's; so call it before the own lock is released. Never throws.
  void release() const;

  /// `exit.json`: {"code", "reason"}; whole or absent.
  void write_exit_json(ExitCode code, std::string_view reason) const;

  /// Rank 0: leaves a marker that every rank must then see (a folder local to one machine is found
  /// out here and not at the first checkpoint). `remove_marker` once all have answered.
  std::filesystem::path write_marker() const;
  void remove_marker() const;

 private:
  explicit RunDirectory(std::filesystem::path path);

  std::filesystem::path path_;
};

/// Whether this process sees the marker. Blocking: up to two seconds, because a network file system
/// may show a new file late. Never throws.
bool visible(const std::filesystem::path& marker);

}  // namespace hetmoe
