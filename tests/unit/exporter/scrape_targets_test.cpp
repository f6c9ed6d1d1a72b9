#include "runtime/exporter/scrape_targets.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using Json = nlohmann::json;

TEST(ScrapeTargets, AreAsPrometheusReadsThem) {
  const Json list = Json::parse(targets_json({
      {.address = "n1:9000", .path = "/run/metrics", .run = "a\"b", .host = "n1"},
      {.address = "n2:9001", .run = "a\"b", .host = "n2", .rank = 3, .uses_tls = true},
  }));
  EXPECT_EQ(list, Json::parse(R"([
    {"targets": ["n1:9000"],
     "labels": {"run": "a\"b", "host": "n1", "role": "coordinator", "__metrics_path__": "/run/metrics"}},
    {"targets": ["n2:9001"],
     "labels": {"run": "a\"b", "host": "n2", "role": "rank", "rank": "3", "__metrics_path__": "/metrics",
                "__scheme__": "https"}}])"));
  EXPECT_EQ(Json::parse(targets_json({})), Json::array()) << "http_sd wants a list, not null";
}

TEST(ScrapeTargets, AreTheJoinedRanksThatServe) {
  CoordinatorStatus status;
  status.run = "a";
  status.members = {{.rank = 0, .joined = true, .host = "n1", .metrics_address = "n1:9000"},
                    {.rank = 1, .joined = true, .host = "n1"},
                    {.rank = 2, .joined = false, .host = "n2", .metrics_address = "n2:9000"}};
  const auto targets = targets_of(status);
  ASSERT_EQ(targets.size(), 1U);
  EXPECT_EQ(targets[0].address, "n1:9000");
  EXPECT_EQ(targets[0].rank, 0);
}

TEST(ScrapeCredentials, AreLeftForWhoScrapesWithoutTheKey) {
  const TemporaryFolder folder;
  const RunDirectory directory = RunDirectory::open(folder.path());
  const ScrapeCredentials secret = make_scrape_credentials(directory, /*with_tls=*/true);
  EXPECT_TRUE(secret.uses_tls());
  EXPECT_EQ(contents_of(directory.scrape_token_file()), secret.token);
  EXPECT_EQ(contents_of(directory.scrape_certificate_file()), secret.pair.certificate);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path())) {
    if (!entry.is_regular_file()) continue;
    EXPECT_EQ(contents_of(entry.path()).find("PRIVATE KEY"), std::string::npos) << entry.path();
  }
  const ScrapeCredentials plain = make_scrape_credentials(directory, /*with_tls=*/false);
  EXPECT_FALSE(plain.uses_tls());
  EXPECT_NE(plain.token, secret.token);
  EXPECT_FALSE(std::filesystem::exists(directory.scrape_certificate_file()))
      << "it is nobody's any more";
}

TEST(ScrapeTargets, AreWrittenIntoAFolderThatIsMade) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "prometheus" / "targets.json";
  write_targets(file, {{.address = "n1:9000", .run = "a", .host = "n1", .rank = 0}});
  EXPECT_EQ(Json::parse(std::ifstream(file)).size(), 1U);
  write_targets(file, {});
  EXPECT_EQ(Json::parse(std::ifstream(file)), Json::array());
}

}  // namespace
}  // namespace hetmoe
