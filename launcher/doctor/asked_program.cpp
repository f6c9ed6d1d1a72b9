#include "launcher/doctor/asked_program.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/files/file_descriptor.h"

namespace hetmoe {
namespace {

constexpr std::size_t kLongestAnswer = 64 << 10;
constexpr int kSignalBase = 128;
constexpr useconds_t kLookMicroseconds = 2000;

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

/// In a process group of its own, both outputs into `pipe`. Gives 0, or errno.
int start(const Command& command, int pipe, pid_t& process) {
  std::vector<std::string> words = command.words;
  std::vector<std::string> environment;
  for (const auto& [name, value] : command.environment) environment.push_back(name + "=" + value);
  for (char** entry = ::environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, pipe, STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, pipe, STDERR_FILENO);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  const int error = ::posix_spawnp(&process, words.front().c_str(), &actions, &attributes,
                                   pointers_to(words).data(), pointers_to(environment).data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  return error;
}

/// Until everybody has closed the pipe, or until `end` of the clock.
void read_all(int pipe, const Clock& clock, double end, std::string& text) {
  std::array<char, 4096> block{};
  for (double left; (left = end - clock.monotonic_seconds()) > 0;) {
    pollfd ready = {.fd = pipe, .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, static_cast<int>(left * 1000) + 1) <= 0) continue;
    const ssize_t got = ::read(pipe, block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    const std::size_t room = kLongestAnswer - text.size();
    text.append(block.data(), std::min(room, static_cast<std::size_t>(got)));
  }
}

/// Its status, once it has ended; gives whether that came before `end`.
bool wait_until(pid_t process, const Clock& clock, double end, int& status) {
  while (::waitpid(process, &status, WNOHANG) == 0) {
    if (clock.monotonic_seconds() > end) return false;
    ::usleep(kLookMicroseconds);
  }
  return true;
}

}  // namespace

std::string Answer::last_line() const {
  if (!started) return start_fault;
  std::string line;
  std::size_t end = text.size();
  while (end > 0 && line.find_first_not_of(" \t\r-") == std::string::npos) {
    const std::size_t begin = text.rfind('\n', end - 1);
    const std::size_t first = begin == std::string::npos ? 0 : begin + 1;
    line = text.substr(first, end - first);
    end = begin == std::string::npos ? 0 : begin;
  }
  if (line.find_first_not_of(" \t\r-") != std::string::npos) return line;
  return in_time ? "ended with code " + std::to_string(code) : "no answer";
}

Answer ask_program(const Command& command, double seconds) {
  std::array<int, 2> ends{};
  HETMOE_CHECK(::pipe2(ends.data(), O_CLOEXEC) == 0, "pipe2: ", std::strerror(errno));
  const FileDescriptor reading(ends[0]);
  Answer answer;
  pid_t process = -1;
  const int error = start(command, ends[1], process);
  ::close(ends[1]);
  if (error != 0) {
    answer.start_fault = std::strerror(error);
    return answer;
  }
  answer.started = true;
  const SystemClock clock;
  const double end = clock.monotonic_seconds() + seconds;
  read_all(ends[0], clock, end, answer.text);
  int status = 0;
  answer.in_time = wait_until(process, clock, end, status);
  if (!answer.in_time) {
    ::kill(-process, SIGKILL);
    while (::waitpid(process, &status, 0) < 0 && errno == EINTR) {
    }
  }
  answer.code = WIFEXITED(status) ? WEXITSTATUS(status) : kSignalBase + WTERMSIG(status);
  return answer;
}

}  // namespace hetmoe
