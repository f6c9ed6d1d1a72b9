#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "runtime/coordinator/coordinator.h"
#include "runtime/coordinator/network/coordinator_client.h"

namespace CLI {
class App;
}

namespace hetmoe {

/// Which coordinator a person means, as typed.
struct CoordinatorOptions {
  std::string named;        ///< RUN_DIR or HOST:PORT
  std::string credentials;  ///< path; empty: RUN_DIR/coordinator.json
};

/// Adds RUN_DIR|ADDRESS and --credentials.
void add_coordinator_options(CLI::App& command, CoordinatorOptions& options);

/// Where to find it. Reads files anew at each connection: a run that is started again listens
/// elsewhere and has a new token.
class CoordinatorTarget {
 public:
  /// A folder, else an address. Errors: ConfigError when it is neither.
  explicit CoordinatorTarget(const CoordinatorOptions& options);

  bool has_run_directory() const { return !run_directory_.empty(); }
  const std::filesystem::path& run_directory() const { return run_directory_; }

  /// Errors: CoordinatorError (kUnreachable: no coordinator.json), ConfigError.
  std::unique_ptr<CoordinatorClient> connect() const;

  /// The error's text, with the flag that may help.
  std::string explained(const CoordinatorError& error) const;

 private:
  std::filesystem::path run_directory_;
  std::string address_;
  std::string credentials_;
};

/// HOST:PORT with a port up to 65535; an IPv6 host in brackets.
bool is_address(const std::string& text);

}  // namespace hetmoe
