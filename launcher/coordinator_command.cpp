#include "launcher/coordinator_command.h"

#include <CLI/CLI.hpp>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <system_error>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "launcher/coordinator_target.h"
#include "launcher/kept_credentials.h"
#include "launcher/served_metrics.h"
#include "launcher/signal_queue.h"
#include "runtime/coordinator/network/coordinator_file.h"
#include "runtime/coordinator/network/coordinator_server.h"
#include "runtime/coordinator/run_coordinator.h"
#include "runtime/exporter/observed_coordinator.h"
#include "runtime/metrics/run_directory.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;

constexpr double kSecondsBetweenLooks = 2;

struct StandAloneOptions {
  std::string listen = "127.0.0.1:0";
  std::string run_dir;
  std::string metrics = "127.0.0.1:0";
  bool insecure = false;
  std::string certificate;
  std::string private_key;
  std::string client_authority;
};

std::string host_of(const std::string& address) { return address.substr(0, address.rfind(':')); }

bool leaves_port_open(const std::string& address) {
  return std::stoi(address.substr(address.rfind(':') + 1)) == 0;
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw StorageError("cannot make '" + folder.string() + "': " + error.message());
}

/// The configured pair, or one of our own that is kept where plaintext would leave the machine.
ServerCredentials server_credentials(const StandAloneOptions& options, KeptCredentials& kept) {
  ServerCredentials credentials{.token = kept.token};
  if (!options.certificate.empty()) {
    credentials.certificate = read_pem_file(options.certificate, /*is_secret=*/false);
    credentials.private_key = read_pem_file(options.private_key, /*is_secret=*/true);
    if (!options.client_authority.empty()) {
      credentials.client_authority = read_pem_file(options.client_authority, /*is_secret=*/false);
    }
    return credentials;
  }
  if (options.insecure || is_loopback(options.listen)) return credentials;
  if (kept.pair.certificate.empty()) {
    kept.pair = make_certificate(reachable_host(options.listen));
    keep_certificate(options.run_dir, kept.pair);
  }
  credentials.certificate = kept.pair.certificate;
  credentials.private_key = kept.pair.private_key;
  return credentials;
}

/// Where any port will do the former one is tried first: ranks know it.
std::unique_ptr<CoordinatorServer> listen(Coordinator& coordinator, const ServerOptions& options,
                                          int former_port) {
  if (former_port > 0 && leaves_port_open(options.listen)) {
    ServerOptions former = options;
    former.listen = host_of(options.listen) + ":" + std::to_string(former_port);
    try {
      return std::make_unique<CoordinatorServer>(coordinator, former);
    } catch (const CoordinatorError&) {
      // Somebody else has taken it meanwhile.
    }
  }
  return std::make_unique<CoordinatorServer>(coordinator, options);
}

/// With mutual TLS whoever runs commands here shows the same certificate as the server.
CoordinatorFile file_for_clients(const StandAloneOptions& options,
                                 const ServerCredentials& credentials, std::string address) {
  const bool is_mutual = !credentials.client_authority.empty();
  const bool is_ours = options.certificate.empty() && !credentials.certificate.empty();
  const auto absolute = [](const std::string& path) { return fs::absolute(path).string(); };
  return {.address = std::move(address),
          .token = credentials.token,
          .certificate = is_mutual ? credentials.client_authority : credentials.certificate,
          .server_name = is_ours ? std::string(kCertificateName) : std::string(),
          .client_certificate_file = is_mutual ? absolute(options.certificate) : std::string(),
          .client_key_file = is_mutual ? absolute(options.private_key) : std::string()};
}

/// One that was ignored when we were started (nohup, a background job) stays ignored: that it is
/// blocked meanwhile keeps the kernel from dropping it.
bool was_ignored(int signal) {
  struct sigaction action = {};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

void await_end(const SignalQueue& signals, std::optional<ServedMetrics>& metrics) {
  for (;;) {
    const int signal = signals.wait(metrics ? kSecondsBetweenLooks : 3600);
    const bool is_end = signal == SIGTERM || signal == SIGINT || signal == SIGHUP;
    if (is_end && !was_ignored(signal)) return;
    try {
      if (metrics) metrics->follow_run();
    } catch (const StorageError&) {
      // The next look tries again; a disk that takes nothing is told about by whoever joins.
    }
  }
}

int run_coordinator_command(const StandAloneOptions& options) {
  const SignalQueue signals;  // before threads are made, which inherit what it blocks
  const RunDirectory directory = RunDirectory::open(options.run_dir);
  make_folder(directory.path());
  const SystemClock clock;
  RunCoordinator coordinator(directory.coordinator_journal(), clock);  // the folder is ours now
  KeptCredentials kept = read_kept_credentials(directory.path());
  const ServerOptions server_options{.listen = options.listen,
                                     .credentials = server_credentials(options, kept),
                                     .insecure = options.insecure};
  RunSeries series(clock);
  ObservedCoordinator observed(coordinator, series);
  const auto server = listen(observed, server_options, kept.port);
  std::optional<ServedMetrics> metrics;
  if (options.metrics != "none") {
    metrics.emplace(options.metrics, options.insecure, directory, coordinator, series);
  }
  const std::string port = std::to_string(server->port());
  write_coordinator_file(directory.coordinator_file(),
                         file_for_clients(options, server_options.credentials,
                                          reachable_host(options.listen) + ":" + port));
  std::cout << "coordinator: listens on " << host_of(options.listen) << ":" << port
            << ", credentials in " << directory.coordinator_file().string() << std::endl;
  if (metrics) std::cout << "coordinator: metrics on " << metrics->address() << std::endl;
  await_end(signals, metrics);
  server->shut_down();
  return 0;
}

void add_security(CLI::App& command, StandAloneOptions& options) {
  auto* certificate =
      command
          .add_option(
              "--certificate", options.certificate,
              "PEM file of the server (default: loopback in plaintext, else one of its own, "
              "kept in DIR)")
          ->type_name("FILE");
  auto* key = command
                  .add_option("--private-key", options.private_key,
                              "PEM file of its key, readable by its owner only")
                  ->type_name("FILE")
                  ->needs(certificate);
  certificate->needs(key);
  command
      .add_option("--client-authority", options.client_authority,
                  "PEM file of who signed the clients' certificates and the server's: mutual TLS")
      ->type_name("FILE")
      ->needs(certificate);
  command
      .add_flag("--insecure", options.insecure,
                "Plaintext beyond loopback: the token can be read on the network")
      ->excludes(certificate);
}

}  // namespace

void add_coordinator_command(CLI::App& app, std::function<int()>& action) {
  auto* command = app.add_subcommand("coordinator",
                                     "Coordinate a run from a process of its own, until SIGTERM");
  auto options = std::make_shared<StandAloneOptions>();
  const CLI::Validator address(
      [](std::string& text) {
        return is_address(text) ? std::string() : "value " + text + ", allowed: HOST:PORT";
      },
      "", "HOST:PORT");
  command
      ->add_option("--listen", options->listen,
                   "Address to listen on, port 0: the former one, or any (default: 127.0.0.1:0)")
      ->type_name("HOST:PORT")
      ->check(address);
  command
      ->add_option("--run-dir", options->run_dir,
                   "Folder for its journal and its coordinator.json; made when absent")
      ->required()
      ->type_name("DIR");
  command
      ->add_option(
          "--metrics", options->metrics,
          "Where the run's metrics are served to Prometheus, or none; beyond loopback with "
          "the token in DIR/prometheus/token (default: 127.0.0.1:0)")
      ->type_name("HOST:PORT")
      ->check([](const std::string& text) {
        return text == "none" || is_address(text)
                   ? std::string()
                   : "value " + text + ", allowed: HOST:PORT or none";
      });
  add_security(*command, *options);
  command->footer(
      "Ranks find it by coordinator.address and coordinator.credentials.\n"
      "Example:\n  hetmoe coordinator --listen 0.0.0.0:7077 --run-dir runs/a-coordinator");
  command->callback(
      [options, &action] { action = [options] { return run_coordinator_command(*options); }; });
}

}  // namespace hetmoe
