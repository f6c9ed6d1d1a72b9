#include "core/data/child_process.h"

#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>

#include "core/base/error.h"

namespace hetmoe {
namespace {

constexpr std::uint32_t kLargestFrameBytes = std::uint32_t{1} << 30;

[[noreturn]] void fail(const std::string& executable, const char* action, int error) {
  throw StorageError("cannot " + std::string(action) + " '" + executable +
                     "': " + std::strerror(error));
}

}  // namespace

ChildProcess::ChildProcess(const std::string& executable, const std::vector<std::string>& arguments)
    : executable_(executable) {
  // A socket and not a pipe: writing to a dead child gives an error here, and no SIGPIPE.
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    fail(executable_, "talk to", errno);
  }
  connection_ = ends[0];
  // Memory and not a pipe: a talkative child never blocks on it.
  errors_ = ::memfd_create("hetmoe-child-errors", MFD_CLOEXEC);
  try {
    if (errors_ < 0) fail(executable_, "talk to", errno);
    start(arguments, ends[1]);
  } catch (...) {
    ::close(ends[1]);
    close_connection();
    if (errors_ >= 0) ::close(errors_);
    throw;
  }
  ::close(ends[1]);
}

void ChildProcess::start(const std::vector<std::string>& arguments, int child_end) {
  std::vector<std::string> words = {executable_};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, child_end, STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, child_end, STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, errors_, STDERR_FILENO);
  const int error =
      ::posix_spawn(&process_, executable_.c_str(), &actions, nullptr, pointers.data(), ::environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    process_ = -1;
    fail(executable_, "start", error);
  }
}

ChildProcess::~ChildProcess() {
  close_connection();
  wait();
  ::close(errors_);
}

void ChildProcess::close_connection() {
  if (connection_ >= 0) ::close(connection_);
  connection_ = -1;
}

int ChildProcess::wait() {
  int status = 0;
  if (process_ < 0) return status;
  while (::waitpid(process_, &status, 0) < 0 && errno == EINTR) {
  }
  process_ = -1;
  return status;
}

std::string ChildProcess::last_words() const {
  std::array<char, 2048> tail{};
  const off_t size = ::lseek(errors_, 0, SEEK_END);
  const off_t begin = std::max<off_t>(0, size - static_cast<off_t>(tail.size()));
  const ssize_t got = ::pread(errors_, tail.data(), tail.size(), begin);
  std::string text(tail.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.substr(text.rfind('\n') + 1);  // npos + 1 is 0
}

void ChildProcess::fail_dead() {
  close_connection();
  const int status = wait();
  std::string message = "'" + executable_ + "' ";
  if (WIFSIGNALED(status)) {
    message += "was killed by signal " + std::to_string(WTERMSIG(status));
  } else {
    message += "ended with code " + std::to_string(WEXITSTATUS(status));
  }
  const std::string words = last_words();
  throw StorageError(words.empty() ? message : message + ": " + words);
}

void ChildProcess::finish() {
  ::shutdown(connection_, SHUT_WR);
  const int status = wait();
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    const std::string words = last_words();
    if (!words.empty()) throw StorageError(words);
    throw StorageError("'" + executable_ + "' failed with status " + std::to_string(status));
  }
}

void ChildProcess::send_frame(const std::string& payload) {
  if (process_ < 0) throw StorageError("'" + executable_ + "' has ended");
  if (payload.size() > kLargestFrameBytes) {
    throw StorageError("a message of " + std::to_string(payload.size()) + " bytes to '" +
                       executable_ + "' is longer than 1 GiB");
  }
  const auto bytes = static_cast<std::uint32_t>(payload.size());
  std::string frame(reinterpret_cast<const char*>(&bytes), sizeof(bytes));
  frame += payload;
  std::size_t done = 0;
  while (done < frame.size()) {
    const ssize_t sent =
        ::send(connection_, frame.data() + done, frame.size() - done, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) fail_dead();
    done += static_cast<std::size_t>(sent);
  }
}

std::string ChildProcess::receive_frame() {
  if (process_ < 0) throw StorageError("'" + executable_ + "' has ended");
  const auto receive = [this](char* out, std::size_t count) {
    while (count > 0) {
      const ssize_t got = ::recv(connection_, out, count, 0);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) fail_dead();
      out += got;
      count -= static_cast<std::size_t>(got);
    }
  };
  std::uint32_t bytes = 0;
  receive(reinterpret_cast<char*>(&bytes), sizeof(bytes));
  if (bytes > kLargestFrameBytes) {
    throw StorageError("'" + executable_ + "' announces a message of " + std::to_string(bytes) +
                       " bytes, expected at most " + std::to_string(kLargestFrameBytes));
  }
  std::string payload(bytes, '\0');
  receive(payload.data(), payload.size());
  return payload;
}

std::string beside_running_program(const std::string& name) {
  std::error_code error;
  const std::filesystem::path running = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) throw StorageError("cannot find '" + name + "': /proc/self/exe cannot be read");
  return (running.parent_path() / name).string();
}

}  // namespace hetmoe
