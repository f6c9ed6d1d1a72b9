#include "launcher/coordinator_target.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <system_error>

#include "core/base/error.h"
#include "runtime/coordinator/network/coordinator_file.h"
#include "runtime/metrics/run_directory.h"

namespace hetmoe {

void add_coordinator_options(CLI::App& command, CoordinatorOptions& options) {
  command
      .add_option("RUN_DIR|ADDRESS", options.named,
                  "Run directory, or HOST:PORT of its coordinator")
      ->required()
      ->type_name("");
  command
      .add_option("--credentials", options.credentials,
                  "The coordinator's file with address, token and certificate (default: "
                  "RUN_DIR/coordinator.json)")
      ->type_name("FILE");
}

CoordinatorTarget::CoordinatorTarget(const CoordinatorOptions& options)
    : credentials_(options.credentials) {
  std::error_code error;
  if (std::filesystem::is_directory(options.named, error)) {
    run_directory_ = options.named;
  } else if (is_address(options.named)) {
    address_ = options.named;
  } else {
    throw ConfigError("'" + options.named +
                      "' is no run directory and no address, allowed: an existing folder, or "
                      "HOST:PORT");
  }
}

std::unique_ptr<CoordinatorClient> CoordinatorTarget::connect() const {
  CoordinatorFile file;
  if (!credentials_.empty()) {
    file = read_coordinator_file(credentials_);
  } else if (has_run_directory()) {
    file = read_coordinator_file(RunDirectory::open(run_directory_).coordinator_file());
  }
  if (!address_.empty()) file.address = address_;
  return std::make_unique<CoordinatorClient>(file.address, client_credentials(file));
}

std::string CoordinatorTarget::explained(const CoordinatorError& error) const {
  const bool may_lack_credentials = !has_run_directory() && credentials_.empty() &&
                                    (error.fault() == CoordinatorFault::kUnauthenticated ||
                                     error.fault() == CoordinatorFault::kUnreachable);
  std::string text = error.what();
  if (may_lack_credentials) {
    text +=
        " (asked in plaintext and without a token; --credentials FILE names the coordinator.json "
        "that has them)";
  }
  return text;
}

bool is_address(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return false;
  const std::string host = text.substr(0, colon), port = text.substr(colon + 1);
  const bool is_bracketed = host.front() == '[' && host.back() == ']' && host.size() > 2;
  if (!is_bracketed && host.find_first_of(":[]/ ") != std::string::npos) return false;
  const bool is_number = !port.empty() && port.size() <= 5 &&
                         port.find_first_not_of("0123456789") == std::string::npos;
  return is_number && std::stoi(port) <= 65535;
}

}  // namespace hetmoe
