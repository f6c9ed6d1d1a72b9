#include "runtime/trainer/coordinator_access.h"

#include <system_error>

#include "core/base/check.h"
#include "parallel/agreement.h"
#include "parallel/communicator/rank_hosts.h"
#include "runtime/coordinator/network/coordinator_file.h"
#include "runtime/trainer/listen_address.h"

namespace hetmoe {
namespace {

ServerOptions server_options(const CoordinatorConfig& config, std::string listen) {
  ServerOptions options{.listen = std::move(listen),
                        .credentials = {.token = make_token()},
                        .insecure = config.insecure};
  ServerCredentials& credentials = options.credentials;
  if (!config.certificate.empty()) {
    credentials.certificate = read_pem_file(config.certificate, /*is_secret=*/false);
    credentials.private_key = read_pem_file(config.private_key, /*is_secret=*/true);
    credentials.client_authority = read_pem_file(config.client_authority, /*is_secret=*/false);
  } else if (!config.insecure && !is_loopback(options.listen)) {
    CertificatePair pair = make_certificate(reachable_host(options.listen));
    credentials.certificate = std::move(pair.certificate);
    credentials.private_key = std::move(pair.private_key);
  }
  return options;
}

/// Absolute, so that commands find it from wherever they are typed.
std::string absolute(const std::string& path) {
  return path.empty() ? path : std::filesystem::absolute(path).string();
}

CoordinatorFile own_file(const CoordinatorConfig& config, const ServerOptions& options, int port) {
  const bool is_mutual = !config.certificate.empty();
  const ServerCredentials& credentials = options.credentials;
  return {.address = reachable_host(options.listen) + ":" + std::to_string(port),
          .token = credentials.token,
          .certificate = is_mutual ? credentials.client_authority : credentials.certificate,
          .server_name = is_mutual || credentials.certificate.empty()
                             ? std::string()
                             : std::string(kCertificateName),
          .client_certificate_file = absolute(config.certificate),
          .client_key_file = absolute(config.private_key)};
}

/// The journal is this run's as long as the folder is, whatever its name was. Of a generation that
/// is still to come it is none: somebody has emptied the folder and left the journal.
void continue_journal(const RunDirectory& directory, const RunStartHold& hold, const Clock& clock,
                      CoordinatorAccess& access) {
  const std::filesystem::path journal = directory.coordinator_journal();
  try {
    access.own = std::make_unique<RunCoordinator>(journal, clock);
  } catch (const StorageError&) {
    // Of a run that was stopped and replaced its process may still hold the journal: the file of
    // that hold is taken away. Anybody else, such as a coordinator by itself, is left alone.
    if (!hold.taken_over) throw;
    std::filesystem::remove(journal.string() + ".lock");
    access.own = std::make_unique<RunCoordinator>(journal, clock);
  }
  if (access.own->status().generation >= hold.generation) {
    access.own.reset();
    std::filesystem::remove(journal);
    access.own = std::make_unique<RunCoordinator>(journal, clock);
  }
  const std::string former_name = access.own->status().run;
  if (!former_name.empty()) access.run = former_name;
}

CoordinatorFile start_own(const CoordinatorConfig& config, const RunDirectory& directory,
                          const std::vector<int>& hosts, const RunStartHold& hold,
                          const Clock& clock, CoordinatorAccess& access) {
  continue_journal(directory, hold, clock, access);
  access.series = std::make_unique<RunSeries>(clock);
  access.observed = std::make_unique<ObservedCoordinator>(*access.own, *access.series);
  const ServerOptions options = server_options(config, listen_address(config.listen, hosts));
  access.server = std::make_unique<CoordinatorServer>(*access.observed, options);
  access.file = directory.coordinator_file();
  return own_file(config, options, access.server->port());
}

CoordinatorFile find_external(const CoordinatorConfig& config) {
  CoordinatorFile file;
  if (!config.credentials.empty()) file = read_coordinator_file(config.credentials);
  file.address = config.address;
  if (!config.certificate.empty()) {
    file.certificate = read_pem_file(config.client_authority, /*is_secret=*/false);
    file.client_certificate_file = absolute(config.certificate);
    file.client_key_file = absolute(config.private_key);
  }
  return file;
}

}  // namespace

Coordinator& CoordinatorAccess::coordinator() const {
  if (observed) return *observed;
  HETMOE_CHECK(client != nullptr, "no coordinator is open");
  return *client;
}

CoordinatorAccess open_coordinator(const CoordinatorConfig& config, const RunDirectory& directory,
                                   const RunStartHold& hold, Communicator& control,
                                   const Clock& clock) {
  const std::vector<int> hosts = hosts_of_ranks(control);
  CoordinatorAccess access;
  std::string text;
  collectively(control, [&] {
    if (control.rank() != 0) return;
    access.run = directory.name();
    const CoordinatorFile file = config.address.empty()
                                     ? start_own(config, directory, hosts, hold, clock, access)
                                     : find_external(config);
    write_coordinator_file(directory.coordinator_file(), file);
    text = write_coordinator_text(file);
  });
  access.run = broadcast_text(control, std::move(access.run), 0);
  text = broadcast_text(control, std::move(text), 0);
  collectively(control, [&] {
    if (access.own) return;
    const CoordinatorFile file = read_coordinator_text(text, "coordinator of rank 0");
    access.client = std::make_unique<CoordinatorClient>(file.address, client_credentials(file));
  });
  return access;
}

void close_coordinator(CoordinatorAccess& access) {
  if (access.server) access.server->shut_down();
  std::error_code error;  // one that stays is found out by whoever reads it
  if (!access.file.empty()) std::filesystem::remove(access.file, error);
  access = {};
}

}  // namespace hetmoe
