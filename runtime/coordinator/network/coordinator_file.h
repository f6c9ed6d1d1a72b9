#pragma once

#include <filesystem>
#include <string>

#include "runtime/coordinator/network/credentials.h"

namespace hetmoe {

/// How to reach a coordinator: `RUN_DIR/coordinator.json`, of mode 600, {"address", "token",
/// "certificate" (PEM of who signed the server's; empty: plaintext), "server_name",
/// "client_certificate_file", "client_key_file" (paths; empty: no mutual TLS)}.
struct CoordinatorFile {
  std::string address;  ///< HOST:PORT
  std::string token;
  std::string certificate;
  std::string server_name;
  std::string client_certificate_file;
  std::string client_key_file;
};

/// Whole or not at all, readable by its owner only, never by others for a moment.
/// Errors: StorageError.
void write_coordinator_file(const std::filesystem::path& path, const CoordinatorFile& file);

/// Errors: CoordinatorError (kUnreachable: no such file; kInvalid: damaged, or others may read it).
CoordinatorFile read_coordinator_file(const std::filesystem::path& path);

/// The same text as the file's, to hand on to other ranks.
std::string write_coordinator_text(const CoordinatorFile& file);
CoordinatorFile read_coordinator_text(const std::string& text, const std::string& source);

/// Reads the files of mutual TLS too. Errors: ConfigError.
ClientCredentials client_credentials(const CoordinatorFile& file);

}  // namespace hetmoe
