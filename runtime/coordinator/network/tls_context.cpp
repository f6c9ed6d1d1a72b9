#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <memory>

#include "runtime/coordinator/network/credentials.h"

namespace hetmoe {
namespace {

using Source = std::unique_ptr<BIO, decltype(&BIO_free)>;

Source source_of(const std::string& pem) {
  return {BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free};
}

/// Never asks a terminal for the password of an encrypted key.
int no_password(char*, int, int, void*) { return -1; }

}  // namespace

bool use_certificate(const CertificatePair& pair, ssl_ctx_st& context) {
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(
      PEM_read_bio_X509(source_of(pair.certificate).get(), nullptr, no_password, nullptr),
      &X509_free);
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      PEM_read_bio_PrivateKey(source_of(pair.private_key).get(), nullptr, no_password, nullptr),
      &EVP_PKEY_free);
  const bool is_good = certificate && key &&
                       SSL_CTX_set_min_proto_version(&context, TLS1_2_VERSION) == 1 &&
                       SSL_CTX_use_certificate(&context, certificate.get()) == 1 &&
                       SSL_CTX_use_PrivateKey(&context, key.get()) == 1;
  if (!is_good) ERR_clear_error();  // else OpenSSL tells it to whoever asks next on this thread
  return is_good;
}

}  // namespace hetmoe
