#include "runtime/exporter/scrape_targets.h"

#include <nlohmann/json.hpp>
#include <system_error>

#include "core/base/error.h"
#include "core/files/atomic_file.h"
#include "runtime/coordinator/network/credentials.h"
#include "runtime/coordinator/network/private_file.h"

namespace hetmoe {
namespace {

void make_folder_of(const std::filesystem::path& file) {
  std::error_code error;
  std::filesystem::create_directories(file.parent_path(), error);
  if (!error) return;
  throw StorageError("cannot make '" + file.parent_path().string() + "': " + error.message());
}

}  // namespace

std::vector<ScrapeTarget> targets_of(const CoordinatorStatus& status) {
  std::vector<ScrapeTarget> targets;
  for (const RankStatus& one : status.members) {
    if (!one.joined || one.metrics_address.empty()) continue;
    targets.push_back(
        {.address = one.metrics_address, .run = status.run, .host = one.host, .rank = one.rank});
  }
  return targets;
}

std::string targets_json(const std::vector<ScrapeTarget>& targets) {
  auto list = nlohmann::ordered_json::array();
  for (const ScrapeTarget& target : targets) {
    nlohmann::ordered_json labels = {{"run", target.run},
                                     {"host", target.host},
                                     {"role", target.rank < 0 ? "coordinator" : "rank"},
                                     {"__metrics_path__", target.path}};
    if (target.rank >= 0) labels["rank"] = std::to_string(target.rank);
    list.push_back({{"targets", {target.address}}, {"labels", std::move(labels)}});
  }
  return list.dump(1) + "\n";
}

void write_targets(const std::filesystem::path& file, const std::vector<ScrapeTarget>& targets) {
  make_folder_of(file);
  write_file_atomically(file, targets_json(targets));
}

std::string make_scrape_token(const std::filesystem::path& file) {
  make_folder_of(file);
  std::string token = make_token();
  write_private_file(file, token);
  return token;
}

}  // namespace hetmoe
