#pragma once

#include <filesystem>
#include <string>

#include "runtime/coordinator/network/credentials.h"

namespace hetmoe {

/// What a coordinator of its own takes up again when it is restarted, so that ranks which were told
/// once find it and trust it.
struct KeptCredentials {
  std::string token;     ///< never empty
  CertificatePair pair;  ///< of our making; empty: none was needed so far
  int port = 0;          ///< where it listened; 0: never
};

/// From `coordinator.json` and `coordinator.key` of the folder; what is not there is made new or
/// left empty. Errors: StorageError when they are damaged or others than the owner may read them.
KeptCredentials read_kept_credentials(const std::filesystem::path& folder);

/// Writes `coordinator.key`: the certificate and its key in one file, so that they always belong
/// together; never readable by others than the owner. Errors: StorageError.
void keep_certificate(const std::filesystem::path& folder, const CertificatePair& pair);

}  // namespace hetmoe
