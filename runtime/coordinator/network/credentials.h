#pragma once

#include <filesystem>
#include <string>
#include <string_view>

struct ssl_ctx_st;

namespace hetmoe {

/// What proves a coordinator to its clients and them to it. Contents, not paths; PEM.
struct ServerCredentials {
  std::string token;        ///< empty: none asked for (tests)
  std::string certificate;  ///< empty: plaintext
  std::string private_key;
  std::string client_authority;  ///< not empty: clients must show a certificate that it signed
};

/// The client's side of it.
struct ClientCredentials {
  std::string token;
  std::string
      authority;  ///< who signed the server's certificate (itself, for ours); empty: plaintext
  std::string server_name;  ///< that the certificate bears; empty: the address's host
  std::string certificate;  ///< of the client, for mutual TLS; empty: none
  std::string private_key;
};

/// The name that certificates made here bear beside the host's.
inline constexpr std::string_view kCertificateName = "hetmoe-coordinator";

/// 256 random bits in hex, from the kernel.
std::string make_token();

/// A key pair for one run, in memory only: ECDSA P-256, self-signed, for `kCertificateName` and
/// `host`, valid from an hour ago for `days`. Errors: CoordinatorError.
struct CertificatePair {
  std::string certificate;
  std::string private_key;
};
CertificatePair make_certificate(std::string_view host, int days = 400);

/// Lets a server of TLS (OpenSSL's SSL_CTX) show it, from version 1.2 on. Gives whether certificate
/// and key are good for that.
[[nodiscard]] bool use_certificate(const CertificatePair& pair, ssl_ctx_st& context);

/// In a time that depends on the lengths alone.
bool same_secret(std::string_view one, std::string_view other);

/// A PEM file that somebody configured. `is_secret`: refused when others than its owner may read
/// it. Errors: ConfigError that names the path.
std::string read_pem_file(const std::filesystem::path& path, bool is_secret);

}  // namespace hetmoe
