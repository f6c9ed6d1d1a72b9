#include "runtime/metrics/rank_log.h"

#include <gmock/gmock.h>

#include <fstream>
#include <string>

#include "core/base/error.h"
#include "tests/unit/metrics/metrics_test_files.h"

namespace hetmoe {
namespace {

TEST(RankLog, HasWrittenEveryLineAtOnce) {
  const TemporaryFolder folder;
  RankLog log(folder.path() / "rank-3.log");
  log.note("started {} 100%");
  log.error("lost peer");
  std::ifstream file(folder.path() / "rank-3.log");
  std::string first, second, third;
  std::getline(file, first);
  std::getline(file, second);
  const std::string time = "[0-9-]+T[0-9:]+[.][0-9]+Z ";
  EXPECT_THAT(first, testing::MatchesRegex(time + "info: started [{][}] 100%"));
  EXPECT_THAT(second, testing::MatchesRegex(time + "error: lost peer"));
  EXPECT_FALSE(std::getline(file, third));
}

TEST(RankLog, NamesAFileItCannotOpen) {
  const TemporaryFolder folder;
  put(folder.path() / "logs", "");
  try {
    RankLog log(folder.path() / "logs" / "rank-0.log");
    FAIL();
  } catch (const StorageError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("logs/rank-0.log"));
  }
}

}  // namespace
}  // namespace hetmoe
