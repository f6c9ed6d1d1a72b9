#include "runtime/exchange/new_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "core/base/error.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

void write(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

std::size_t entries(const fs::path& folder) {
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

std::string refusal(const fs::path& target, bool replace) {
  try {
    const NewFolder folder(target, replace);
  } catch (const StorageError& error) {
    return error.what();
  }
  return "taken";
}

class NewFolderTest : public ::testing::Test {
 protected:
  TemporaryFolder temporary_;
  const fs::path target_ = temporary_.path() / "deep" / "target";
};

TEST_F(NewFolderTest, IsThereOnlyOnceItIsCommitted) {
  {
    NewFolder folder(target_.string() + "/", false);
    write(folder.path() / "a", "1");
    EXPECT_FALSE(fs::exists(target_));
    folder.commit();
  }
  EXPECT_TRUE(fs::exists(target_ / "a"));
  EXPECT_EQ(entries(target_.parent_path()), 1U);
}

TEST_F(NewFolderTest, LeavesNothingWhenItIsNot) {
  {
    const NewFolder folder(target_, false);
    write(folder.path() / "a", "1");
  }
  EXPECT_EQ(entries(target_.parent_path()), 0U);
}

TEST_F(NewFolderTest, TakesTheNameOfAnEmptyOne) {
  fs::create_directories(target_);
  NewFolder folder(target_, false);
  write(folder.path() / "a", "1");
  folder.commit();
  EXPECT_TRUE(fs::exists(target_ / "a"));
}

TEST_F(NewFolderTest, ReplacesOnlyWhatLooksLikeAModel) {
  write(target_ / "notes.txt", "mine");
  EXPECT_THAT(refusal(target_, false), HasSubstr("the folder is not empty"));
  EXPECT_THAT(refusal(target_, true), HasSubstr("config.json"));
  write(target_ / "config.json", "{}");
  {
    NewFolder folder(target_, true);
    EXPECT_TRUE(fs::exists(target_ / "config.json")) << "until the new one is whole";
    write(folder.path() / "b", "2");
    folder.commit();
  }
  EXPECT_EQ(entries(target_), 1U);
  EXPECT_EQ(entries(target_.parent_path()), 1U);
  write(target_ / "config.json", "{}");
  write(target_ / "inner" / "letter", "mine");
  EXPECT_THAT(refusal(target_, true), HasSubstr("and no others"));
  fs::remove_all(target_);
  write(target_, "a file");
  EXPECT_THAT(refusal(target_, true), HasSubstr("no folder"));
}

}  // namespace
}  // namespace hetmoe
