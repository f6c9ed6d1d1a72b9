// Which checkpoint all ranks go on from, and when it is better to end.
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <fstream>
#include <functional>
#include <optional>

#include "parallel/agreement.h"
#include "runtime/trainer/resume.h"
#include "tests/support/mpi_world.h"
#include "tests/support/shared_folder.h"
#include "tests/unit/checkpoint/small_checkpoint.h"

namespace hetmoe::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Two committed steps, 100 and 200.
class Resume : public testing::Test {
 protected:
  Resume() {
    on_rank_0([&] {
      save_small(folder_, 100);
      save_small(folder_, 200);
    });
  }

  void on_rank_0(const std::function<void()>& work) {
    if (world_.rank() == 0) work();
    world_.barrier();
  }

  fs::path newest(const std::string& file) const { return folder_.path_of(200) / file; }

  /// Replaces a file of the newest step by a link.
  void link(const std::string& file, const fs::path& target) {
    on_rank_0([&] {
      fs::remove(newest(file));
      fs::create_symlink(target, newest(file));
    });
  }

  std::string refusal() {
    std::string text;
    try {
      const ResumePoint point = find_newest(folder_, world_);
      text = "goes on after " + std::to_string(point.checkpoint->manifest().step);
      for (const std::string& line : point.passed_over) text += "; " + line;
    } catch (const AgreedError& error) {
      EXPECT_EQ(error.exit_code(), ExitCode::kStorage);
      text = error.what();
    }
    return text;
  }

  Communicator& world_ = test_world();
  SharedFolder run_;
  CheckpointFolder folder_{run_.path() / "checkpoints"};
};

TEST_F(Resume, TakesTheNewest) {
  const ResumePoint point = find_newest(folder_, world_);
  EXPECT_EQ(point.checkpoint->manifest().step, 200);
  EXPECT_THAT(point.passed_over, ElementsAre());
}

TEST_F(Resume, PassesOverWhatIsDamagedMissingOrNoFileAndSaysSo) {
  const std::function<void(const fs::path&)> faults[] = {
      [](const fs::path& file) { fs::resize_file(file, fs::file_size(file) - 1); },
      [](const fs::path& file) { fs::remove(file); },
      [](const fs::path& file) {
        fs::remove(file);
        fs::create_directory(file);
      },
      [](const fs::path& file) {
        std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
        stream.seekp(-1, std::ios::end);
        stream.put('\x55');
      }};
  for (const auto& fault : faults) {
    for (const std::string file : {"rank-2.safetensors", "manifest.json"}) {
      on_rank_0([&] {
        folder_.remove(200);
        save_small(folder_, 200);
        fault(newest(file));
      });
      const ResumePoint point = find_newest(folder_, world_);
      EXPECT_EQ(point.checkpoint->manifest().step, 100);
      EXPECT_THAT(point.passed_over, ElementsAre(HasSubstr(file)));
    }
  }
}

/// While it lives this process can open no file.
class NoMoreFiles {
 public:
  NoMoreFiles() {
    getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit none = {.rlim_cur = 0, .rlim_max = before_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
  }
  ~NoMoreFiles() { setrlimit(RLIMIT_NOFILE, &before_); }
  NoMoreFiles(const NoMoreFiles&) = delete;
  NoMoreFiles& operator=(const NoMoreFiles&) = delete;

 private:
  rlimit before_{};
};

TEST_F(Resume, EndsWhereOneRankCouldNotReadInsteadOfLosingTheNewest) {
  if (world_.size() == 1) GTEST_SKIP() << "rank 0 could not even list the steps";
  world_.barrier();
  std::optional<NoMoreFiles> limit;
  if (world_.rank() == world_.size() - 1) limit.emplace();
  const std::string text = refusal();
  limit.reset();
  EXPECT_THAT(text, AllOf(HasSubstr("step-00000200"), HasSubstr("Too many open files"),
                          HasSubstr("says nothing of the checkpoint")));
}

TEST_F(Resume, EndsWhereOnlySomeRanksSeeDamage) {
  if (world_.size() == 1) GTEST_SKIP() << "one rank sees what it sees";
  const fs::path before = fs::current_path();
  on_rank_0([&] { fs::copy_file(newest("manifest.json"), run_.path() / "manifest.json"); });
  link("manifest.json", "/proc/self/cwd/manifest.json");
  fs::current_path(world_.rank() == world_.size() - 1 ? folder_.path() : run_.path());
  EXPECT_THAT(refusal(), AllOf(HasSubstr("manifest.json"), HasSubstr("other ranks see it whole")));
  fs::current_path(before);
}

TEST_F(Resume, ANamedCheckpointThatIsDamagedIsRefused) {
  on_rank_0([&] { fs::resize_file(newest("rank-1.safetensors"), 100); });
  std::string text;
  try {
    open_named(folder_.path_of(200).string(), world_);
  } catch (const AgreedError& error) {
    text = error.what();
  }
  EXPECT_THAT(text, HasSubstr("rank-1.safetensors"));
}

}  // namespace
}  // namespace hetmoe::test
