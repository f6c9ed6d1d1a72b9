#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <memory>

#include "runtime/coordinator/coordinator.h"
#include "runtime/coordinator/network/credentials.h"
#include "runtime/coordinator/network/network_address.h"

namespace hetmoe {
namespace {

constexpr long kSecondsPerHour = 3600;
constexpr int kHoursPerDay = 24;
constexpr int kMostDays = 36'500;

using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Memory = std::unique_ptr<BIO, decltype(&BIO_free)>;
using Extension = std::unique_ptr<X509_EXTENSION, decltype(&X509_EXTENSION_free)>;

/// OpenSSL gives 1 for done.
void require(bool is_done, const char* what) {
  if (is_done) return;
  const char* reason = ERR_reason_error_string(ERR_get_error());
  ERR_clear_error();
  throw CoordinatorError(CoordinatorFault::kInvalid,
                         std::string("cannot make a certificate: ") + what +
                             (reason ? std::string(": ") + reason : ""));
}

void check_request(std::string_view host, int days) {
  const std::string text(host);
  const bool is_name =
      !is_numeric_host(text) && parse_network_address(text + ":0") && text.front() != '[';
  if (!is_name && !is_numeric_host(text)) {
    throw CoordinatorError(CoordinatorFault::kInvalid,
                           "cannot make a certificate: its host must be a name or an address");
  }
  if (days < 0 || days > kMostDays) {
    throw CoordinatorError(CoordinatorFault::kInvalid,
                           "cannot make a certificate for " + std::to_string(days) +
                               " days, allowed are 0 to " + std::to_string(kMostDays));
  }
}

/// `value` in the syntax of OpenSSL's configuration: nothing of it comes from outside unchecked.
void add_extension(X509* certificate, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()),
                            &X509_EXTENSION_free);
  require(extension != nullptr, value.c_str());
  require(X509_add_ext(certificate, extension.get(), -1) == 1, value.c_str());
}

void set_serial(X509* certificate) {
  std::uint64_t number = 0;
  require(RAND_bytes(reinterpret_cast<unsigned char*>(&number), sizeof number) == 1, "no random");
  require(ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), number) == 1, "serial");
}

void set_names(X509* certificate, const std::string& host) {
  const std::string name(kCertificateName);
  X509_NAME* subject = X509_get_subject_name(certificate);
  require(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                     reinterpret_cast<const unsigned char*>(name.data()),
                                     static_cast<int>(name.size()), -1, 0) == 1,
          "subject");
  require(X509_set_issuer_name(certificate, subject) == 1, "issuer");
  const std::string form = is_numeric_host(host) ? "IP:" : "DNS:";
  add_extension(certificate, NID_subject_alt_name, "DNS:" + name + "," + form + host);
}

void set_times(X509* certificate, int days) {
  const long begin = -kSecondsPerHour;  // clocks of hosts differ
  require(X509_gmtime_adj(X509_getm_notBefore(certificate), begin) != nullptr, "begin");
  const long end = begin + kSecondsPerHour * kHoursPerDay * days;
  require(X509_gmtime_adj(X509_getm_notAfter(certificate), end) != nullptr, "end");
}

std::string text_of(const Memory& memory) {
  char* data = nullptr;
  const long bytes = BIO_get_mem_data(memory.get(), &data);
  return {data, static_cast<std::size_t>(bytes)};
}

Memory new_memory() {
  Memory memory(BIO_new(BIO_s_mem()), &BIO_free);
  require(memory != nullptr, "memory");
  return memory;
}

}  // namespace

CertificatePair make_certificate(std::string_view host, int days) {
  check_request(host, days);
  const Key key(EVP_EC_gen("P-256"), &EVP_PKEY_free);
  require(key != nullptr, "key");
  const Certificate certificate(X509_new(), &X509_free);
  require(certificate != nullptr, "memory");
  require(X509_set_version(certificate.get(), X509_VERSION_3) == 1, "version");
  set_serial(certificate.get());
  set_times(certificate.get(), days);
  require(X509_set_pubkey(certificate.get(), key.get()) == 1, "public key");
  set_names(certificate.get(), std::string(host));
  add_extension(certificate.get(), NID_basic_constraints, "critical,CA:FALSE");
  add_extension(certificate.get(), NID_key_usage, "critical,digitalSignature");
  add_extension(certificate.get(), NID_ext_key_usage, "serverAuth,clientAuth");
  add_extension(certificate.get(), NID_subject_key_identifier, "hash");
  require(X509_sign(certificate.get(), key.get(), EVP_sha256()) > 0, "signature");

  const Memory certificate_text = new_memory();
  require(PEM_write_bio_X509(certificate_text.get(), certificate.get()) == 1, "PEM");
  const Memory key_text = new_memory();
  require(PEM_write_bio_PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                   nullptr) == 1,
          "PEM");
  return {text_of(certificate_text), text_of(key_text)};
}

}  // namespace hetmoe
