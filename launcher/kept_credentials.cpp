#include "launcher/kept_credentials.h"

#include "core/base/error.h"
#include "launcher/coordinator_target.h"
#include "runtime/coordinator/network/certificate_checks.h"
#include "runtime/coordinator/network/coordinator_file.h"
#include "runtime/coordinator/network/private_file.h"
#include "runtime/metrics/run_directory.h"

namespace hetmoe {
namespace {

/// A run of weeks may begin with what is kept.
constexpr int kLeastDays = 60;
constexpr std::string_view kCertificateBegin = "-----BEGIN CERTIFICATE-----";

std::filesystem::path key_file(const std::filesystem::path& folder) {
  return folder / "coordinator.key";
}

CertificatePair read_pair(const std::filesystem::path& path) {
  const std::string text = read_pem_file(path, /*is_secret=*/true);
  const std::size_t certificate = text.find(kCertificateBegin);
  if (certificate == std::string::npos || certificate == 0) {
    throw StorageError("'" + path.string() + "' is damaged: a key and a certificate are needed");
  }
  CertificatePair pair{.certificate = text.substr(certificate),
                       .private_key = text.substr(0, certificate)};
  if (ends_within(pair.certificate, kLeastDays, path.string())) return {};  // a new one is made
  return pair;
}

int port_of(const std::string& address) {
  return is_address(address) ? std::stoi(address.substr(address.rfind(':') + 1)) : 0;
}

}  // namespace

KeptCredentials read_kept_credentials(const std::filesystem::path& folder) {
  KeptCredentials kept;
  try {
    const std::filesystem::path file = RunDirectory::open(folder).coordinator_file();
    if (std::filesystem::exists(file)) {
      const CoordinatorFile former = read_coordinator_file(file);
      kept.token = former.token;
      kept.port = port_of(former.address);
    }
    if (std::filesystem::exists(key_file(folder))) kept.pair = read_pair(key_file(folder));
  } catch (const CoordinatorError& error) {
    throw StorageError(std::string(error.what()) + " (without it new credentials are made)");
  } catch (const ConfigError& error) {
    throw StorageError(std::string(error.what()) + " (without it a new certificate is made)");
  } catch (const std::filesystem::filesystem_error& error) {
    throw StorageError("cannot read '" + folder.string() + "': " + error.code().message());
  }
  if (kept.token.empty()) kept.token = make_token();
  return kept;
}

void keep_certificate(const std::filesystem::path& folder, const CertificatePair& pair) {
  write_private_file(key_file(folder), pair.private_key + pair.certificate);
}

}  // namespace hetmoe
