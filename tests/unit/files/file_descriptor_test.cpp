#include "core/files/file_descriptor.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <thread>

#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

/// Interrupts this thread's system calls every millisecond while it lives.
class Interruptions {
 public:
  Interruptions() {
    struct sigaction action {};
    action.sa_handler = [](int) {};  // and no SA_RESTART
    sigaction(SIGALRM, &action, &old_action_);
    const itimerval every_millisecond = {.it_interval = {0, 1000}, .it_value = {0, 1000}};
    setitimer(ITIMER_REAL, &every_millisecond, nullptr);
  }
  ~Interruptions() {
    const itimerval never = {};
    setitimer(ITIMER_REAL, &never, nullptr);
    sigaction(SIGALRM, &old_action_, nullptr);
  }
  Interruptions(const Interruptions&) = delete;
  Interruptions& operator=(const Interruptions&) = delete;

 private:
  struct sigaction old_action_ {};
};

void block_alarms() {
  sigset_t alarms;
  sigemptyset(&alarms);
  sigaddset(&alarms, SIGALRM);
  pthread_sigmask(SIG_BLOCK, &alarms, nullptr);
}

TEST(FileDescriptor, WritesAllThoughInterrupted) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  FileDescriptor source(ends[0]);
  FileDescriptor sink(ends[1]);
  std::string sent(1 << 20, '\0');  // a pipe holds 64 KiB: the writer has to wait
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i % 253);
  std::string received;
  std::thread reader([&] {
    block_alarms();
    std::string piece(50000, '\0');
    while (true) {
      std::this_thread::sleep_for(std::chrono::milliseconds(4));
      const ssize_t got = ::read(source.get(), piece.data(), piece.size());
      if (got <= 0) return;
      received.append(piece, 0, static_cast<std::size_t>(got));
    }
  });
  {
    const Interruptions interruptions;
    EXPECT_EQ(write_fully(sink.get(), std::as_bytes(std::span(sent))), 0);
  }
  EXPECT_EQ(sink.close(), 0);
  reader.join();
  EXPECT_TRUE(received == sent);
}

TEST(FileDescriptor, ReportsWhatTheDeviceSays) {
  const FileDescriptor full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(full.is_open());
  EXPECT_EQ(write_fully(full.get(), std::as_bytes(std::span("text", 4))), ENOSPC);
  EXPECT_EQ(write_fully(full.get(), {}), 0);
  std::byte out{};
  EXPECT_EQ(read_fully(full.get(), 0, std::span(&out, 1)), -1);
  EXPECT_EQ(errno, EBADF);
}

TEST(FileDescriptor, ReadsUpToTheEndOfTheFile) {
  const TemporaryFolder folder;
  const FileDescriptor file(::open(folder.write("a", "abcdef").c_str(), O_RDONLY | O_CLOEXEC));
  std::string out(4, '?');
  EXPECT_EQ(read_fully(file.get(), 1, std::as_writable_bytes(std::span(out))), 4);
  EXPECT_EQ(out, "bcde");
  EXPECT_EQ(read_fully(file.get(), 4, std::as_writable_bytes(std::span(out))), 2);
  EXPECT_EQ(read_fully(file.get(), 9, std::as_writable_bytes(std::span(out))), 0);
}

TEST(FileDescriptor, IsClosedOnceByItsLastOwner) {
  FileDescriptor first(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int number = first.get();
  {
    const FileDescriptor second(std::move(first));
    EXPECT_FALSE(first.is_open());
    EXPECT_EQ(::fcntl(number, F_GETFD), FD_CLOEXEC);
  }
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
  EXPECT_EQ(first.close(), 0);
}

TEST(FileDescriptor, SyncsTheFolderOfAPathWithAndWithoutOne) {
  const TemporaryFolder folder;
  EXPECT_EQ(sync_folder_of(folder / "a"), 0);
  EXPECT_EQ(sync_folder_of("a"), 0);
  EXPECT_EQ(sync_folder_of(folder / "no/a"), ENOENT);
}

}  // namespace
}  // namespace hetmoe
