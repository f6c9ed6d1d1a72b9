#include "runtime/coordinator/network/coordinator_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>
#include <string>

#include "runtime/coordinator/coordinator.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/coordinator/wire_support.h"

namespace hetmoe {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

CoordinatorFile sample() {
  return {.address = "node-7:4000",
          .token = "secret-word",
          .certificate = "-----BEGIN CERTIFICATE-----\n",
          .server_name = "hetmoe-coordinator",
          .client_certificate_file = "a.pem",
          .client_key_file = "b.pem"};
}

void expect_same(const CoordinatorFile& one, const CoordinatorFile& other) {
  EXPECT_EQ(one.address, other.address);
  EXPECT_EQ(one.token, other.token);
  EXPECT_EQ(one.certificate, other.certificate);
  EXPECT_EQ(one.server_name, other.server_name);
  EXPECT_EQ(one.client_certificate_file, other.client_certificate_file);
  EXPECT_EQ(one.client_key_file, other.client_key_file);
}

mode_t mode_of(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0);
  return status.st_mode & 07777;
}

class CoordinatorFileTest : public testing::Test {
 protected:
  /// A file of mode 600 with these contents, read.
  Refusal refusal_with(const std::string& contents) const {
    folder.write("coordinator.json", contents);
    ::chmod(path.c_str(), 0600);
    return refusal_of([&] { read_coordinator_file(path); });
  }

  const TemporaryFolder folder;
  const std::string path = folder / "coordinator.json";
};

TEST_F(CoordinatorFileTest, survives_writing_and_reading_and_bears_the_documented_names) {
  write_coordinator_file(path, sample());
  expect_same(read_coordinator_file(path), sample());
  expect_same(read_coordinator_text(write_coordinator_text(sample()), "text"), sample());
  const nlohmann::json json = nlohmann::json::parse(contents_of(path));
  EXPECT_EQ(json.size(), 6U);
  EXPECT_EQ(json.at("address"), "node-7:4000");
  EXPECT_EQ(json.at("token"), "secret-word");
  EXPECT_EQ(json.at("certificate"), "-----BEGIN CERTIFICATE-----\n");
  EXPECT_EQ(json.at("server_name"), "hetmoe-coordinator");
  EXPECT_EQ(json.at("client_certificate_file"), "a.pem");
  EXPECT_EQ(json.at("client_key_file"), "b.pem");
}

TEST_F(CoordinatorFileTest, is_its_owner_s_alone_whatever_the_mask_and_whatever_was_there) {
  folder.write("coordinator.json", "older");
  ::chmod(path.c_str(), 0644);
  const mode_t former = ::umask(0);
  write_coordinator_file(path, sample());
  EXPECT_EQ(mode_of(path), 0600U);
  ::umask(0777);
  write_coordinator_file(path, sample());
  ::umask(former);
  EXPECT_EQ(mode_of(path), 0600U);
  EXPECT_THAT(folder.names(), ElementsAre("coordinator.json"));
}

TEST_F(CoordinatorFileTest, where_it_cannot_be_written_nothing_is_left) {
  EXPECT_THAT(message_of<StorageError>(
                  [&] { write_coordinator_file(folder / "absent/coordinator.json", sample()); }),
              HasSubstr("absent/coordinator.json"));
  std::filesystem::create_directory(path);
  EXPECT_THAT(message_of<StorageError>([&] { write_coordinator_file(path, sample()); }),
              HasSubstr(path));
  EXPECT_THAT(folder.names(), ElementsAre("coordinator.json"));
}

TEST_F(CoordinatorFileTest, no_file_is_unreachable_and_says_which) {
  const Refusal refusal = refusal_of([&] { read_coordinator_file(path); });
  EXPECT_EQ(refusal.fault, CoordinatorFault::kUnreachable);
  EXPECT_THAT(refusal.words, HasSubstr(path));
}

TEST_F(CoordinatorFileTest, one_that_others_may_read_is_refused) {
  write_coordinator_file(path, sample());
  for (const mode_t mode : {0640, 0604, 0644, 0660}) {
    ::chmod(path.c_str(), mode);
    const Refusal refusal = refusal_of([&] { read_coordinator_file(path); });
    EXPECT_EQ(refusal.fault, CoordinatorFault::kInvalid);
    EXPECT_THAT(refusal.words, AllOf(HasSubstr(path), HasSubstr("600")));
  }
}

TEST_F(CoordinatorFileTest, damage_is_named_and_the_token_never_shown) {
  const std::string whole = write_coordinator_text(sample());
  for (const std::string& text :
       {std::string(), std::string("{"), std::string(R"({"token": "secret-word)"),
        whole.substr(0, whole.size() / 2), whole + "secret-word",
        std::string(R"({"token": secret-word})"), std::string("[\"secret-word\"]"),
        std::string("\"secret-word\""), std::string(R"({"address": "a:1", "token": 5})"),
        std::string(R"({"address": "a:1", "token": ["secret-word"]})"),
        std::string(R"({"address": "a:1", "token": null})"),
        std::string(R"({"address": "a:1", "extra": "secret-word"})"),
        std::string(R"({"token": "secret-word"})"),
        std::string(R"({"address": "a", "token": "secret-word"})"),
        std::string(R"({"address": "a:0"})"), std::string(60'000, '['),
        std::string("{\"address\": \"a:1\", \"token\": \"\xFF\"}")}) {
    const Refusal refusal = refusal_with(text);
    EXPECT_EQ(refusal.fault, CoordinatorFault::kInvalid);
    EXPECT_THAT(refusal.words,
                AllOf(HasSubstr(path), Not(HasSubstr("secret-word")), Not(HasSubstr("\n"))))
        << text.substr(0, 100);
  }
}

TEST_F(CoordinatorFileTest, more_than_64_kib_and_what_is_no_file_is_refused) {
  const std::string text = R"({"address": "a:1"})";
  EXPECT_EQ(refusal_with(text + std::string(65'536 - text.size(), ' ')).words, "");
  EXPECT_THAT(refusal_with(text + std::string(65'537 - text.size(), ' ')).words,
              HasSubstr("65536"));
  EXPECT_THAT(refusal_of([&] { read_coordinator_file(folder.path()); }).words,
              HasSubstr("not a regular file"));
}

TEST_F(CoordinatorFileTest, gives_what_the_client_needs) {
  CoordinatorFile file = sample();
  file.client_certificate_file = folder.write("a.pem", "-----BEGIN CERTIFICATE-----\nA");
  file.client_key_file = folder.write("b.pem", "-----BEGIN PRIVATE KEY-----\nB");
  ::chmod(file.client_key_file.c_str(), 0600);
  const ClientCredentials credentials = client_credentials(file);
  EXPECT_EQ(credentials.token, "secret-word");
  EXPECT_EQ(credentials.authority, file.certificate);
  EXPECT_EQ(credentials.server_name, "hetmoe-coordinator");
  EXPECT_EQ(credentials.certificate, "-----BEGIN CERTIFICATE-----\nA");
  EXPECT_EQ(credentials.private_key, "-----BEGIN PRIVATE KEY-----\nB");
  ::chmod(file.client_key_file.c_str(), 0644);
  EXPECT_THROW(client_credentials(file), ConfigError);
}

TEST_F(CoordinatorFileTest, half_of_mutual_tls_is_refused) {
  CoordinatorFile file = sample();
  file.client_key_file.clear();
  EXPECT_THROW(client_credentials(file), ConfigError);
  file = sample();
  file.certificate.clear();
  EXPECT_THROW(client_credentials(file), ConfigError);
}

}  // namespace
}  // namespace hetmoe
