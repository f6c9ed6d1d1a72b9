#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <span>
#include <thread>

#include "core/base/host_name.h"
#include "launcher/hostfile.h"

namespace hetmoe {
namespace {

constexpr std::size_t kAtOnce = 32;
constexpr auto kLongest = std::chrono::seconds(15);
constexpr auto kBetweenLooks = std::chrono::milliseconds(20);

bool is_this_host(const std::string& name) {
  return name == "localhost" || name == "127.0.0.1" || (!name.empty() && name == host_name());
}

/// 0: could not be started. Its signals are not blocked as they are here.
pid_t start_ssh(std::string host) {
  std::array<std::string, 8> words = {
      "ssh", "-n", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", std::move(host), "true"};
  std::array<char*, words.size() + 1> pointers{};
  std::transform(words.begin(), words.end(), pointers.begin(),
                 [](std::string& word) { return word.data(); });
  posix_spawnattr_t attributes;
  sigset_t none;
  ::sigemptyset(&none);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t process = 0;
  const int error =
      ::posix_spawnp(&process, "ssh", nullptr, &attributes, pointers.data(), ::environ);
  ::posix_spawnattr_destroy(&attributes);
  return error == 0 ? process : 0;
}

/// Whether it ended with 0; a process that is late is killed.
bool succeeded(pid_t process, std::chrono::steady_clock::time_point deadline) {
  int status = 0;
  pid_t ended = 0;
  while ((ended = ::waitpid(process, &status, WNOHANG)) == 0) {
    if (std::chrono::steady_clock::now() >= deadline) {
      ::kill(process, SIGKILL);
      ::waitpid(process, &status, 0);
      return false;
    }
    std::this_thread::sleep_for(kBetweenLooks);
  }
  return ended == process && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

std::vector<bool> probe_together(std::span<const std::string> names) {
  std::vector<pid_t> processes;
  for (const std::string& name : names) {
    processes.push_back(is_this_host(name) ? -1 : start_ssh(name));
  }
  const auto deadline = std::chrono::steady_clock::now() + kLongest;
  std::vector<bool> answers;
  for (const pid_t process : processes) {
    answers.push_back(process < 0 || (process > 0 && succeeded(process, deadline)));
  }
  return answers;
}

}  // namespace

std::vector<bool> probe_by_ssh(const std::vector<std::string>& names) {
  std::vector<bool> answers;
  for (std::size_t begin = 0; begin < names.size(); begin += kAtOnce) {
    const std::size_t count = std::min(kAtOnce, names.size() - begin);
    const auto some = probe_together(std::span(names).subspan(begin, count));
    answers.insert(answers.end(), some.begin(), some.end());
  }
  return answers;
}

}  // namespace hetmoe
