#include <gmock/gmock.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "core/base/error.h"
#include "runtime/checkpoint/checkpoint_reader.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/checkpoint/small_checkpoint.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;

/// Runs `action` in a child process and kills it when it is about to make its system call number
/// `call`, counted from 0. False: it ended before.
bool killed_before_call(int call, const std::function<void()>& action) {
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("fork failed");
  if (child == 0) {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(1);
    ::raise(SIGSTOP);
    action();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFSTOPPED(status)) throw std::runtime_error("the child does not stop");
  // Every call stops the child twice: before it, and after it.
  for (int stop = 0;; ++stop) {
    if (stop == 2 * call + 1) ::kill(child, SIGKILL);
    ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
    ::waitpid(child, &status, 0);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return true;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return false;
    if (!WIFSTOPPED(status)) throw std::runtime_error("the child failed");
  }
}

/// What holds at any moment: a marked step verifies. Gives the newest.
std::int64_t newest_of_verified(const CheckpointFolder& checkpoints) {
  for (const SavedStep& saved : checkpoints.steps()) {
    if (saved.committed) CheckpointReader(saved.path).verify();
  }
  return CheckpointReader(resolve_checkpoint(checkpoints.path().parent_path())).manifest().step;
}

class InterruptedSave : public ::testing::Test {
 protected:
  const TemporaryFolder run_;
  const CheckpointFolder checkpoints_{run_.path() / "checkpoints"};
};

TEST_F(InterruptedSave, AtAnySystemCallLeavesTheStepBeforeOrAWholeNewOne) {
  save_small(checkpoints_, 100);
  int call = 0, whole = 0;
  // What one kill leaves the next save begins on.
  while (killed_before_call(call, [&] { save_small(checkpoints_, 200); })) {
    const bool committed = is_committed(checkpoints_.path_of(200));
    ASSERT_EQ(newest_of_verified(checkpoints_), committed ? 200 : 100) << "call " << call;
    if (committed) {
      ++whole;
      checkpoints_.remove(200);
    }
    ++call;
  }
  EXPECT_GT(call, 50);
  EXPECT_GT(whole, 0);
  EXPECT_EQ(newest_of_verified(checkpoints_), 200);
}

TEST_F(InterruptedSave, RemovalStoppedAtAnySystemCallLeavesNoHalfStepMarked) {
  save_small(checkpoints_, 200);
  int call = 0, half = 0, gone = 0;
  bool killed = true;
  while (killed) {
    checkpoints_.remove(100);
    save_small(checkpoints_, 100);
    killed = killed_before_call(call++, [&] { checkpoints_.remove(100); });
    ASSERT_EQ(newest_of_verified(checkpoints_), 200) << "call " << call;
    const bool there = fs::exists(checkpoints_.path_of(100));
    if (there && !is_committed(checkpoints_.path_of(100))) ++half;
    if (!there) ++gone;
  }
  EXPECT_GT(half, 3);  // three files, the manifest and the folder went one by one
  EXPECT_GT(gone, 0);
  EXPECT_FALSE(fs::exists(checkpoints_.path_of(100)));
}

TEST_F(InterruptedSave, AfterALossOfPowerHalfWrittenFilesDoNotCount) {
  save_small(checkpoints_, 100);
  const TemporaryFolder other;
  const fs::path whole = save_small(CheckpointFolder(other.path()), 200);
  // In the order in which they are written; each once half and once whole, under the name that it
  // has then.
  const std::vector<std::pair<std::string, std::string>> order = {
      {"rank-0.safetensors", "rank-0.safetensors"}, {"rank-1.safetensors", "rank-1.safetensors"},
      {"rank-2.safetensors", "rank-2.safetensors"}, {"manifest.json", ".manifest.json.part-7"},
      {"manifest.json", "manifest.json"},           {"COMMITTED", ".COMMITTED.part-7"}};
  const fs::path folder = checkpoints_.begin(200);
  for (const auto& [source, name] : order) {
    const std::string contents = contents_of(whole / source);
    for (const std::size_t length : {std::size_t{0}, contents.size() / 2, contents.size()}) {
      std::ofstream(folder / name, std::ios::binary) << contents.substr(0, length);
      ASSERT_EQ(newest_of_verified(checkpoints_), 100) << name << " of " << length;
      ASSERT_THAT(message_of<StorageError>([&] { resolve_checkpoint(folder); }),
                  ::testing::HasSubstr("holds no committed checkpoint"));
    }
  }
  fs::copy_file(whole / "COMMITTED", folder / "COMMITTED");
  EXPECT_EQ(newest_of_verified(checkpoints_), 200);
  checkpoints_.remove(200);
  save_small(checkpoints_, 200);
  EXPECT_EQ(newest_of_verified(checkpoints_), 200);
}

}  // namespace
}  // namespace hetmoe
