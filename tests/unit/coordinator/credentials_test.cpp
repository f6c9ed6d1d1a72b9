#include "runtime/coordinator/network/credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <memory>
#include <set>
#include <string>

#include "runtime/coordinator/coordinator.h"
#include "runtime/coordinator/network/certificate_checks.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

Certificate parse(const std::string& pem) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> source(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free);
  return {PEM_read_bio_X509(source.get(), nullptr, nullptr, nullptr), &X509_free};
}

/// Days from `from` (null: now) to `to`.
double days_between(const ASN1_TIME* from, const ASN1_TIME* to) {
  int days = 0;
  int seconds = 0;
  EXPECT_EQ(ASN1_TIME_diff(&days, &seconds, from, to), 1);
  return days + seconds / 86400.0;
}

TEST(Token, is_64_hex_digits_and_never_twice_the_same) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    const std::string token = make_token();
    EXPECT_THAT(token, MatchesRegex("[0-9a-f]+"));
    EXPECT_EQ(token.size(), 64U);
    EXPECT_TRUE(seen.insert(token).second);
  }
}

TEST(SameSecret, is_equality) {
  EXPECT_TRUE(same_secret("", ""));
  EXPECT_TRUE(same_secret("abc", "abc"));
  for (const char* other : {"", "ab", "abcd", "abd", "xbc", "ABC"}) {
    EXPECT_FALSE(same_secret("abc", other)) << other;
    EXPECT_FALSE(same_secret(other, "abc")) << other;
  }
}

TEST(MadeCertificate, bears_the_common_name_and_the_host_s) {
  const Certificate named = parse(make_certificate("node_7.cluster").certificate);
  ASSERT_TRUE(named);
  const std::string name(kCertificateName);
  EXPECT_EQ(X509_check_host(named.get(), name.data(), name.size(), 0, nullptr), 1);
  EXPECT_EQ(X509_check_host(named.get(), "node_7.cluster", 14, 0, nullptr), 1);
  EXPECT_EQ(X509_check_host(named.get(), "node_8.cluster", 14, 0, nullptr), 0);
  for (const char* address : {"10.1.2.3", "fe80::1"}) {
    const Certificate numbered = parse(make_certificate(address).certificate);
    ASSERT_TRUE(numbered);
    EXPECT_EQ(X509_check_ip_asc(numbered.get(), address, 0), 1);
    EXPECT_EQ(X509_check_ip_asc(numbered.get(), "10.1.2.4", 0), 0);
    EXPECT_EQ(X509_check_host(numbered.get(), name.data(), name.size(), 0, nullptr), 1);
  }
}

TEST(MadeCertificate, is_a_p256_one_that_vouches_for_itself_and_for_no_other) {
  const Certificate made = parse(make_certificate("localhost").certificate);
  ASSERT_TRUE(made);
  EVP_PKEY* key = X509_get0_pubkey(made.get());
  EXPECT_EQ(EVP_PKEY_base_id(key), EVP_PKEY_EC);
  EXPECT_EQ(EVP_PKEY_bits(key), 256);
  EXPECT_EQ(X509_verify(made.get(), key), 1);
  EXPECT_EQ(X509_check_ca(made.get()), 0);
}

TEST(MadeCertificate, holds_from_an_hour_ago_for_the_days_asked_for) {
  const std::string text = make_certificate("localhost", 10).certificate;
  EXPECT_TRUE(ends_within(text, 10, "it"));
  EXPECT_FALSE(ends_within(text, 9, "it"));
  const Certificate made = parse(text);
  ASSERT_TRUE(made);
  EXPECT_NEAR(days_between(X509_get0_notBefore(made.get()), X509_get0_notAfter(made.get())), 10,
              1e-4);
  EXPECT_NEAR(days_between(X509_get0_notBefore(made.get()), nullptr), 1 / 24.0, 0.02);
}

TEST(MadeCertificate, has_a_key_and_a_serial_number_of_its_own_each_time) {
  const CertificatePair one = make_certificate("localhost");
  const CertificatePair other = make_certificate("localhost");
  EXPECT_NE(one.private_key, other.private_key);
  EXPECT_NE(ASN1_INTEGER_cmp(X509_get0_serialNumber(parse(one.certificate).get()),
                             X509_get0_serialNumber(parse(other.certificate).get())),
            0);
}

TEST(MadeCertificate, a_host_that_could_be_more_than_a_host_is_refused) {
  for (const std::string host : {"", "a,DNS:b", "a b", "a\n", "[::1]", "*.cluster", "a:1", "a@b"}) {
    EXPECT_THAT(message_of<CoordinatorError>([&] { make_certificate(host); }),
                HasSubstr("certificate"))
        << host;
  }
  EXPECT_THAT(message_of<CoordinatorError>([&] { make_certificate("a", -1); }), HasSubstr("-1"));
}

TEST(PemFile, is_read_and_a_secret_one_only_when_nobody_else_can) {
  const TemporaryFolder folder;
  const std::string path = folder.write("key.pem", "-----BEGIN SOMETHING-----\n");
  ::chmod(path.c_str(), 0600);
  EXPECT_EQ(read_pem_file(path, true), "-----BEGIN SOMETHING-----\n");
  for (const mode_t mode : {0640, 0604, 0620, 0660, 0644}) {
    ::chmod(path.c_str(), mode);
    EXPECT_THAT(message_of<ConfigError>([&] { read_pem_file(path, true); }),
                AllOf(HasSubstr(path), HasSubstr("600")))
        << mode;
    EXPECT_NO_THROW(read_pem_file(path, false));
  }
}

TEST(PemFile, what_is_missing_or_no_pem_is_named_and_not_shown) {
  const TemporaryFolder folder;
  EXPECT_THAT(message_of<ConfigError>([&] { read_pem_file(folder / "absent", false); }),
              HasSubstr("absent"));
  EXPECT_THAT(message_of<ConfigError>([&] { read_pem_file(folder.path(), false); }),
              HasSubstr("not a regular file"));
  const std::string text = folder.write("text", "secret-word");
  EXPECT_THAT(message_of<ConfigError>([&] { read_pem_file(text, false); }),
              AllOf(HasSubstr(text), Not(HasSubstr("secret-word"))));
}

}  // namespace
}  // namespace hetmoe
