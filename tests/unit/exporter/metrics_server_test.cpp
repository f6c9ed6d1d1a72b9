#include "runtime/exporter/metrics_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>

#include "core/base/error.h"
#include "runtime/coordinator/network/credentials.h"
#include "tests/unit/exporter/http_get.h"

namespace hetmoe {
namespace {

using ::testing::HasSubstr;

MetricsPage page(std::string path, std::string text) {
  return {.path = std::move(path), .content_type = "text/plain", .body = [text] { return text; }};
}

TEST(MetricsServer, ServesItsPagesAndNothingElse) {
  MetricsServer server({});
  const auto metrics = server.serve(page("/metrics", "a 1\n"));
  const auto targets = server.serve(page("/targets", "[]"));
  const std::string answer = get(server.port(), "/metrics");
  EXPECT_EQ(status_of(answer), 200);
  EXPECT_THAT(answer, HasSubstr("Content-Type: text/plain\r\n"));
  EXPECT_EQ(body_of(answer), "a 1\n");
  EXPECT_EQ(body_of(get(server.port(), "/targets?refresh=1")), "[]");
  EXPECT_EQ(status_of(get(server.port(), "/")), 404);
  EXPECT_EQ(status_of(get(server.port(), "/metrics/x")), 404);
  EXPECT_EQ(status_of(get(server.port(), "/../etc/passwd")), 404);
  EXPECT_EQ(status_of(get(server.port(), "/metrics", "", "POST")), 405);
  const std::string head = get(server.port(), "/metrics", "", "HEAD");
  EXPECT_EQ(status_of(head), 200);
  EXPECT_EQ(body_of(head), "");
}

TEST(MetricsServer, AsksForItsToken) {
  MetricsServer server({.token = "secret"});
  const auto metrics = server.serve(page("/metrics", "a 1\n"));
  const auto status = [&](const std::string& headers) {
    return status_of(get(server.port(), "/metrics", headers));
  };
  EXPECT_EQ(status("Authorization: Bearer secret\r\n"), 200);
  EXPECT_EQ(status(""), 401);
  EXPECT_EQ(status("Authorization: Bearer secre\r\n"), 401);
  EXPECT_EQ(status("Authorization: Bearer secrets\r\n"), 401);
  EXPECT_EQ(status("Authorization: Basic secret\r\n"), 401);
  EXPECT_THAT(get(server.port(), "/metrics"), HasSubstr("WWW-Authenticate: Bearer\r\n"));
}

TEST(MetricsServer, WithACertificatePlainHttpGetsNothing) {
  const CertificatePair pair = make_certificate("localhost");
  MetricsServer server({.pair = pair});
  const auto metrics = server.serve(page("/metrics", "a 1\n"));
  EXPECT_EQ(get(server.port(), "/metrics").find("a 1"), std::string::npos);
}

TEST(MetricsServer, NamesACertificateThatIsNone) {
  const CertificatePair pair = make_certificate("localhost");
  EXPECT_THROW(MetricsServer({.pair = {"no certificate", pair.private_key}}), ConfigError);
}

TEST(MetricsServer, APageThatIsSlowIsNotWaitedForWithoutEnd) {
  MetricsServer server({});
  std::atomic<bool> is_asked = false, may_go = false;
  const auto slow = server.serve({.path = "/slow", .content_type = "text/plain", .body = [&] {
                                    is_asked = true;
                                    while (!may_go)
                                      std::this_thread::sleep_for(std::chrono::milliseconds(1));
                                    return std::string("done");
                                  }});
  const auto quick = server.serve(page("/quick", "yes"));
  std::thread first([&] { EXPECT_EQ(body_of(get(server.port(), "/slow")), "done"); });
  while (!is_asked) std::this_thread::yield();
  EXPECT_EQ(status_of(get(server.port(), "/slow")), 503);
  EXPECT_EQ(body_of(get(server.port(), "/quick")), "yes");
  may_go = true;
  first.join();
}

TEST(MetricsServer, NamesAnAddressThatIsTakenOrNotOurs) {
  MetricsServer first({});
  const std::string taken = "127.0.0.1:" + std::to_string(first.port());
  for (const std::string& address : {taken, std::string("192.0.2.1:9100")}) {
    try {
      MetricsServer second({.listen = address});
      ADD_FAILURE() << "listens on " << address;
    } catch (const ConfigError& error) {
      EXPECT_THAT(error.what(), HasSubstr("cannot serve metrics on " + address + ": "));
    }
  }
}

TEST(MetricsServer, SurvivesGarbageAndAPageThatFails) {
  MetricsServer server({});
  const auto bad =
      server.serve({.path = "/bad", .content_type = "text/plain", .body = []() -> std::string {
                      throw std::runtime_error("no");
                    }});
  const auto good = server.serve(page("/good", "yes"));
  EXPECT_EQ(status_of(get(server.port(), "/bad")), 500);
  exchange_with(server.port(), std::string("\x16\x03\x01\0\xff", 5) + "\r\n\r\n");
  EXPECT_NE(status_of(get(server.port(), "/" + std::string(30000, 'x'))), 200);
  EXPECT_EQ(body_of(get(server.port(), "/good")), "yes");
}

TEST(MetricsServer, APageThatEndsWaitsForItsLastAnswer) {
  MetricsServer server({});
  std::atomic<bool> is_asked = false, has_ended = false;
  auto slow = server.serve({.path = "/slow", .content_type = "text/plain", .body = [&] {
                              is_asked = true;
                              std::this_thread::sleep_for(std::chrono::milliseconds(200));
                              EXPECT_FALSE(has_ended) << "what the page shows may be gone";
                              return std::string("done");
                            }});
  std::string answer;
  std::thread scrape([&] { answer = get(server.port(), "/slow"); });
  while (!is_asked) std::this_thread::yield();
  slow.reset();
  has_ended = true;
  scrape.join();
  EXPECT_EQ(body_of(answer), "done");
  EXPECT_EQ(status_of(get(server.port(), "/slow")), 404);
}

}  // namespace
}  // namespace hetmoe
