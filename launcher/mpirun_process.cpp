#include "launcher/mpirun_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/files/file_descriptor.h"

namespace hetmoe {
namespace {

constexpr int kLookMilliseconds = 100;
constexpr int kQuietLooks = 10;
/// A progress bar of somebody's, or no text at all: no line of a message is that long.
constexpr std::size_t kLongestLine = 64 << 10;

/// Whatever it holds, NUL too.
void print(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stderr); }

std::vector<std::string> environment_with(const Command& command) {
  std::vector<std::string> entries;
  for (const auto& [name, value] : command.environment) entries.push_back(name + "=" + value);
  for (char** entry = ::environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::string name = text.substr(0, text.find('='));
    bool replaced = false;
    for (const auto& [ours, value] : command.environment) replaced = replaced || ours == name;
    if (!replaced) entries.push_back(text);
  }
  return entries;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

/// Between fork and exec: system calls only. Gives when something failed; errno says what.
void become(char* const* words, char* const* environment, pid_t parent, int messages) {
  if (::setpgid(0, 0) != 0) return;
  if (::prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) return;
  if (::getppid() != parent) ::_exit(1);  // it died before the line above
  struct sigaction standard = {};
  standard.sa_handler = SIG_DFL;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) {
    ::sigaction(signal, &standard, nullptr);
  }
  const int nothing = ::open("/dev/null", O_RDONLY);
  if (nothing < 0 || ::dup2(nothing, STDIN_FILENO) < 0) return;
  if (::dup2(messages, STDERR_FILENO) < 0) return;
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execvpe(words[0], words, environment);
}

}  // namespace

// fork and not posix_spawn, which cannot ask for a signal on the parent's death.
MpirunProcess::MpirunProcess(const Command& command) {
  std::vector<std::string> words = command.words;
  std::vector<std::string> environment = environment_with(command);
  const std::vector<char*> word_pointers = pointers_to(words);
  const std::vector<char*> environment_pointers = pointers_to(environment);
  std::array<int, 2> ends{};  // closed by exec; before that it carries errno
  HETMOE_CHECK(::pipe2(ends.data(), O_CLOEXEC) == 0, "pipe2: ", std::strerror(errno));
  std::array<int, 2> messages{};
  HETMOE_CHECK(::pipe2(messages.data(), O_CLOEXEC) == 0, "pipe2: ", std::strerror(errno));
  const pid_t parent = ::getpid();
  process_ = ::fork();
  if (process_ == 0) {
    become(word_pointers.data(), environment_pointers.data(), parent, messages[1]);
    const int error = errno;
    [[maybe_unused]] const ssize_t told = ::write(ends[1], &error, sizeof(error));
    ::_exit(127);
  }
  int error = process_ < 0 ? errno : 0;
  ::close(ends[1]);
  ::close(messages[1]);
  if (process_ > 0) {
    while (::read(ends[0], &error, sizeof(error)) < 0 && errno == EINTR) {
    }
  }
  ::close(ends[0]);
  if (error == 0) {
    reader_ = std::thread([this, pipe = messages[0]] { pass_messages(pipe); });
    return;
  }
  ::close(messages[0]);
  if (process_ > 0) ::waitpid(process_, nullptr, 0);
  throw ConfigError("cannot start '" + command.words.front() + "': " + std::strerror(error) +
                    " (Open MPI's programs must be in PATH)");
}

MpirunProcess::~MpirunProcess() {
  if (process_ > 0) {
    signal_group(SIGKILL);
    while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  has_ended_ = true;
  if (reader_.joinable()) reader_.join();
}

/// Until everybody has closed the pipe, or mpirun has ended and nobody speaks any more: a daemon
/// that it left behind may hold the pipe for ever.
void MpirunProcess::pass_messages(int pipe) {
  const FileDescriptor owned(pipe);
  std::string text;
  int quiet_looks = 0;
  std::array<char, 4096> block;
  for (;;) {
    const bool had_ended = has_ended_;
    pollfd ready = {.fd = pipe, .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, kLookMilliseconds) == 0) {
      if (had_ended) break;
      // mpirun writes a message in one go: what waits for its end now is somebody else's.
      if (++quiet_looks == kQuietLooks) print(messages_.rest());
      continue;
    }
    quiet_looks = 0;
    const ssize_t got = ::read(pipe, block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(block.data(), static_cast<std::size_t>(got));
    std::string passed;
    std::size_t begin = 0;
    for (std::size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
      passed += messages_.pass(std::string_view(text).substr(begin, end - begin));
    }
    text.erase(0, begin);
    if (text.size() > kLongestLine) passed += std::exchange(text, {});
    print(passed);
  }
  print(messages_.rest() + text);
}

std::optional<FirstLost> MpirunProcess::first_lost() {
  has_ended_ = process_ < 0;
  if (reader_.joinable()) reader_.join();
  return messages_.first_lost();
}

std::optional<ProcessEnd> MpirunProcess::poll() {
  int status = 0;
  const pid_t ended = ::waitpid(process_, &status, WNOHANG);
  HETMOE_CHECK(ended >= 0, "waitpid: ", std::strerror(errno));
  if (ended == 0) return std::nullopt;
  process_ = -1;
  if (WIFSIGNALED(status)) return ProcessEnd{.code = 0, .signal = WTERMSIG(status)};
  return ProcessEnd{.code = WEXITSTATUS(status), .signal = 0};
}

void MpirunProcess::signal(int signal) const {
  if (process_ > 0) ::kill(process_, signal);
}

void MpirunProcess::signal_group(int signal) const {
  if (process_ > 0) ::kill(-process_, signal);
}

}  // namespace hetmoe
