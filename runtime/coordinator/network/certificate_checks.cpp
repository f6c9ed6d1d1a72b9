#include "runtime/coordinator/network/certificate_checks.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <ctime>
#include <memory>

#include "runtime/coordinator/coordinator.h"
#include "runtime/coordinator/network/credentials.h"

namespace hetmoe {
namespace {

constexpr std::size_t kLongestToken = 1024;

using Source = std::unique_ptr<BIO, decltype(&BIO_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

[[noreturn]] void refuse(const std::string& fault) {
  ERR_clear_error();  // else OpenSSL tells it to whoever asks next on this thread
  throw CoordinatorError(CoordinatorFault::kInvalid, fault);
}

Source source_of(const std::string& pem) {
  return {BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free};
}

/// Never asks a terminal for the password of an encrypted key.
int no_password(char*, int, int, void*) { return -1; }

Certificate read_certificate(const std::string& pem, const std::string& name) {
  const Source source = source_of(pem);
  Certificate certificate(PEM_read_bio_X509(source.get(), nullptr, &no_password, nullptr),
                          &X509_free);
  if (!certificate) refuse(name + ": not a certificate in PEM");
  return certificate;
}

Key read_key(const std::string& pem) {
  const Source source = source_of(pem);
  return {PEM_read_bio_PrivateKey(source.get(), nullptr, &no_password, nullptr), &EVP_PKEY_free};
}

}  // namespace

void require_certificate(const std::string& certificate, const std::string& name) {
  read_certificate(certificate, name);
}

void require_key_pair(const std::string& certificate, const std::string& private_key,
                      const std::string& name) {
  const Certificate read = read_certificate(certificate, name);
  const Key key = read_key(private_key);
  if (!key) refuse(name + ": its private key is not an unencrypted one in PEM");
  if (X509_check_private_key(read.get(), key.get()) != 1) {
    refuse(name + ": its private key belongs to another certificate");
  }
}

bool use_certificate(const CertificatePair& pair, ssl_ctx_st& context) {
  try {
    require_key_pair(pair.certificate, pair.private_key, "certificate");
  } catch (const CoordinatorError&) {
    return false;
  }
  return SSL_CTX_set_min_proto_version(&context, TLS1_2_VERSION) == 1 &&
         SSL_CTX_use_certificate(&context, read_certificate(pair.certificate, "").get()) == 1 &&
         SSL_CTX_use_PrivateKey(&context, read_key(pair.private_key).get()) == 1;
}

bool ends_within(const std::string& certificate, int days, const std::string& name) {
  std::time_t then = std::time(nullptr) + static_cast<std::time_t>(days) * 24 * 3600;
  return X509_cmp_time(X509_get0_notAfter(read_certificate(certificate, name).get()), &then) <= 0;
}

void require_token(const std::string& token) {
  const bool is_printable = std::all_of(token.begin(), token.end(),
                                        [](char letter) { return letter > 0x20 && letter < 0x7F; });
  if (is_printable && token.size() <= kLongestToken) return;
  refuse("token: allowed are up to 1024 printable characters without spaces");
}

}  // namespace hetmoe
