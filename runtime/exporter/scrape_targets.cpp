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
    targets.push_back({.address = one.metrics_address,
                       .run = status.run,
                       .host = one.host,
                       .rank = one.rank,
                       .uses_tls = one.metrics_use_tls});
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
    if (target.uses_tls) labels["__scheme__"] = "https";
    if (target.rank >= 0) labels["rank"] = std::to_string(target.rank);
    list.push_back({{"targets", {target.address}}, {"labels", std::move(labels)}});
  }
  return list.dump(1) + "\n";
}

void write_targets(const std::filesystem::path& file, const std::vector<ScrapeTarget>& targets) {
  make_folder_of(file);
  write_file_atomically(file, targets_json(targets));
}

ScrapeCredentials make_scrape_credentials(const RunDirectory& directory, bool with_tls) {
  const std::filesystem::path token_file = directory.scrape_token_file();
  const std::filesystem::path certificate_file = directory.scrape_certificate_file();
  make_folder_of(token_file);
  ScrapeCredentials credentials{.token = make_token(), .pair = {}};
  if (with_tls) {
    credentials.pair = make_certificate(kCertificateName);
    write_file_atomically(certificate_file, credentials.pair.certificate);
  } else {
    std::error_code error;  // one that stays is used for nothing
    std::filesystem::remove(certificate_file, error);
  }
  write_private_file(token_file, credentials.token);
  return credentials;
}

}  // namespace hetmoe
