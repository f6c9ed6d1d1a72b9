#include "runtime/coordinator/network/coordinator_file.h"

#include <nlohmann/json.hpp>
#include <string_view>

#include "core/files/safetensors_layout.h"
#include "runtime/coordinator/coordinator.h"
#include "runtime/coordinator/network/network_address.h"
#include "runtime/coordinator/network/private_file.h"

namespace hetmoe {
namespace {

using Json = nlohmann::ordered_json;

struct Entry {
  const char* key;
  std::string CoordinatorFile::*text;
};

constexpr Entry kEntries[] = {
    {"address", &CoordinatorFile::address},
    {"token", &CoordinatorFile::token},
    {"certificate", &CoordinatorFile::certificate},
    {"server_name", &CoordinatorFile::server_name},
    {"client_certificate_file", &CoordinatorFile::client_certificate_file},
    {"client_key_file", &CoordinatorFile::client_key_file},
};

// Faults name the place and never what stands there: it may be the token.
[[noreturn]] void refuse(const std::string& source, const std::string& fault) {
  throw CoordinatorError(CoordinatorFault::kInvalid, source + ": " + fault);
}

Json parse_object(const std::string& text, const std::string& source) {
  Json json;
  try {
    json = Json::parse(text);
  } catch (const Json::parse_error& error) {
    refuse(source, "not JSON: fault at its byte " + std::to_string(error.byte));
  } catch (const Json::exception&) {
    refuse(source, "not JSON");
  }
  if (!json.is_object()) refuse(source, "not a JSON object");
  return json;
}

const Entry* find_entry(std::string_view key) {
  for (const Entry& entry : kEntries) {
    if (key == entry.key) return &entry;
  }
  return nullptr;
}

}  // namespace

std::string write_coordinator_text(const CoordinatorFile& file) {
  Json json;
  for (const Entry& entry : kEntries) json[entry.key] = file.*entry.text;
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

CoordinatorFile read_coordinator_text(const std::string& text, const std::string& source) {
  const Json json = parse_object(text, source);
  CoordinatorFile file;
  for (const auto& [key, value] : json.items()) {
    const Entry* entry = find_entry(key);
    if (entry == nullptr) refuse(source, "unknown key " + in_quotes(key));
    if (!value.is_string()) refuse(source, in_quotes(key) + " is not a text");
    file.*(entry->text) = value.get<std::string>();
  }
  const auto address = parse_network_address(file.address);
  if (!address || address->port == 0) {
    refuse(source, "\"address\" is " + in_quotes(file.address) + ", allowed is HOST:PORT");
  }
  return file;
}

void write_coordinator_file(const std::filesystem::path& path, const CoordinatorFile& file) {
  write_private_file(path, write_coordinator_text(file));
}

CoordinatorFile read_coordinator_file(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    throw CoordinatorError(CoordinatorFault::kUnreachable, "no file '" + path.string() + "'");
  }
  std::string text;
  try {
    text = read_small_file(path, /*is_secret=*/true);
  } catch (const StorageError& error) {
    throw CoordinatorError(CoordinatorFault::kInvalid, error.what());
  }
  return read_coordinator_text(text, path.string());
}

ClientCredentials client_credentials(const CoordinatorFile& file) {
  ClientCredentials credentials{.token = file.token,
                                .authority = file.certificate,
                                .server_name = file.server_name,
                                .certificate = "",
                                .private_key = ""};
  if (file.client_certificate_file.empty() != file.client_key_file.empty()) {
    throw ConfigError(
        "client_certificate_file and client_key_file: one is given without the other");
  }
  if (file.client_certificate_file.empty()) return credentials;
  if (file.certificate.empty()) {
    throw ConfigError("client_certificate_file: mutual TLS needs the coordinator's certificate");
  }
  credentials.certificate = read_pem_file(file.client_certificate_file, /*is_secret=*/false);
  credentials.private_key = read_pem_file(file.client_key_file, /*is_secret=*/true);
  return credentials;
}

}  // namespace hetmoe
