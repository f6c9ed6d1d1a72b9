// How many ranks one coordinator bears:
//   hetmoe_coordinator_load [RANKS [SECONDS]]      4096 ranks, 10 s
// Starts `hetmoe coordinator`, found beside this program, and is all the ranks itself, each with a
// connection of its own: joins, beats as fast as they go, beats once a second and rank, and a
// checkpoint that every rank reports. One JSON line; the coordinator ends with it.
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "runtime/coordinator/network/coordinator_client.h"
#include "runtime/coordinator/network/coordinator_file.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr int kThreads = 32;
constexpr std::int64_t kStep = 100;
constexpr double kDeadlineSeconds = 60;  // the machine's own limit is what is measured

double seconds_since(SteadyClock::time_point begin) {
  return std::chrono::duration<double>(SteadyClock::now() - begin).count();
}

/// `hetmoe coordinator` as a process of its own.
class CoordinatorProcess {
 public:
  explicit CoordinatorProcess(const std::filesystem::path& folder) {
    const std::string program =
        (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "hetmoe").string();
    const std::string path = folder.string();
    const char* arguments[] = {program.c_str(), "coordinator", "--run-dir", path.c_str(), nullptr};
    if (::posix_spawn(&process_, program.c_str(), nullptr, nullptr,
                      const_cast<char* const*>(arguments), environ) != 0) {
      throw std::runtime_error("cannot start " + program);
    }
    for (int i = 0; i < 1000 && !std::filesystem::exists(folder / "coordinator.json"); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    file_ = read_coordinator_file(folder / "coordinator.json");
  }
  ~CoordinatorProcess() {
    ::kill(process_, SIGTERM);
    ::waitpid(process_, nullptr, 0);
  }
  CoordinatorProcess(const CoordinatorProcess&) = delete;
  CoordinatorProcess& operator=(const CoordinatorProcess&) = delete;

  std::unique_ptr<CoordinatorClient> client() const {
    return std::make_unique<CoordinatorClient>(file_.address, client_credentials(file_),
                                               kDeadlineSeconds);
  }
  double resident_mebibytes() const {
    std::ifstream statm("/proc/" + std::to_string(process_) + "/statm");
    std::int64_t total = 0;
    std::int64_t resident = 0;
    statm >> total >> resident;
    return static_cast<double>(resident * ::sysconf(_SC_PAGE_SIZE)) / (1 << 20);
  }

 private:
  pid_t process_ = 0;
  CoordinatorFile file_;
};

/// The simulated ranks; each thread speaks for every kThreads-th of them.
class Ranks {
 public:
  Ranks(const CoordinatorProcess& coordinator, int count) {
    for (int rank = 0; rank < count; ++rank) clients_.push_back(coordinator.client());
  }

  int count() const { return static_cast<int>(clients_.size()); }
  CoordinatorClient& of(int rank) { return *clients_[static_cast<std::size_t>(rank)]; }

  /// Calls `work(thread)` on every thread; gives the seconds until all are back.
  static double on_threads(const std::function<void(int)>& work) {
    const auto begin = SteadyClock::now();
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kThreads; ++thread) threads.emplace_back(work, thread);
    threads.clear();
    return seconds_since(begin);
  }

  /// Once for each rank.
  double each(const std::function<void(int)>& call) {
    return on_threads([&](int thread) {
      for (int rank = thread; rank < count(); rank += kThreads) call(rank);
    });
  }

 private:
  std::vector<std::unique_ptr<CoordinatorClient>> clients_;
};

Member member(int rank) { return {.run = "load", .generation = 1, .rank = rank}; }

Heartbeat beat_of(int rank) {
  Heartbeat beat;
  beat.member = member(rank);
  beat.step = kStep;
  beat.phase = "training";
  beat.collective_sequence = 12345;
  beat.collective = "all_to_all";
  beat.step_seconds = 0.5;
  beat.memory_bytes = 1 << 30;
  return beat;
}

struct Latencies {
  double seconds = 0;
  std::vector<double> of_calls;

  nlohmann::ordered_json json() {
    std::ranges::sort(of_calls);
    const auto at = [&](double part) {
      return 1e3 *
             of_calls[static_cast<std::size_t>(part * static_cast<double>(of_calls.size() - 1))];
    };
    return {{"per_second", static_cast<double>(of_calls.size()) / seconds},
            {"median_milliseconds", at(0.5)},
            {"p99_milliseconds", at(0.99)},
            {"largest_milliseconds", at(1)}};
  }
};

/// `interval_seconds` between two beats of a rank, spread over the ranks; 0: as fast as it goes.
Latencies beat(Ranks& ranks, double seconds, double interval_seconds) {
  std::vector<std::vector<double>> of_threads(kThreads);
  const auto begin = SteadyClock::now();
  Latencies all;
  all.seconds = Ranks::on_threads([&](int thread) {
    std::int64_t calls = 0;
    for (int rank = thread; seconds_since(begin) < seconds;
         rank = rank + kThreads < ranks.count() ? rank + kThreads : thread) {
      const double due = interval_seconds * static_cast<double>(calls++ * kThreads + thread) /
                         static_cast<double>(ranks.count());
      std::this_thread::sleep_for(std::chrono::duration<double>(due - seconds_since(begin)));
      const auto sent = SteadyClock::now();
      ranks.of(rank).heartbeat(beat_of(rank));
      of_threads[static_cast<std::size_t>(thread)].push_back(seconds_since(sent));
    }
  });
  for (const auto& some : of_threads) {
    all.of_calls.insert(all.of_calls.end(), some.begin(), some.end());
  }
  return all;
}

void prepare(Ranks& ranks, int rank, std::atomic<int>& agreed) {
  const std::string digest = "xxh3-128:00112233445566778899aabbccddeeff";
  const PrepareReply reply = ranks.of(rank).prepare_checkpoint(
      {.member = member(rank),
       .step = kStep,
       .configuration_digest = digest,
       .files = {{"shard-" + std::to_string(rank) + ".safetensors", 1 << 30, digest}}});
  if (reply.agreed) ++agreed;
}

nlohmann::ordered_json checkpoint(Ranks& ranks) {
  std::atomic<int> agreed = 0;
  const double reported = ranks.each([&](int rank) { prepare(ranks, rank, agreed); });
  const auto begin = SteadyClock::now();
  agreed = 0;
  prepare(ranks, 0, agreed);
  if (agreed != 1) throw std::runtime_error("all have reported, and it is not agreed");
  ranks.of(0).commit_checkpoint(
      {.member = member(0), .step = kStep, .bytes = 1, .seconds = 1, .wall_seconds = 1});
  const double committed = seconds_since(begin);
  if (ranks.of(0).status().committed.step != kStep) throw std::runtime_error("not committed");
  return {{"reported_seconds", reported}, {"agreed_and_committed_seconds", committed}};
}

void measure(int count, double seconds) {
  const TemporaryFolder folder;
  const CoordinatorProcess coordinator(folder.path());
  const double before = coordinator.resident_mebibytes();
  Ranks ranks(coordinator, count);
  const double joined = ranks.each([&](int rank) {
    ranks.of(rank).join(
        {.member = member(rank), .ranks = count, .host = "n1", .process = rank + 1});
  });
  Latencies fast = beat(ranks, seconds, 0);
  Latencies natural = beat(ranks, seconds, 1);
  const auto begin = SteadyClock::now();
  const std::size_t members = ranks.of(0).status().members.size();
  const double status_seconds = seconds_since(begin);
  const nlohmann::ordered_json line = {{"case", "coordinator_load"},
                                       {"ranks", count},
                                       {"members", members},
                                       {"joined_seconds", joined},
                                       {"beats", fast.json()},
                                       {"beats_once_a_second", natural.json()},
                                       {"status_seconds", status_seconds},
                                       {"checkpoint", checkpoint(ranks)},
                                       {"resident_mebibytes_before", before},
                                       {"resident_mebibytes", coordinator.resident_mebibytes()}};
  std::printf("%s\n", line.dump().c_str());
}

/// Two descriptors a connection at most, here and in the coordinator, which inherits it.
void allow_open_files() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace
}  // namespace hetmoe

int main(int argument_count, char** arguments) {
  try {
    hetmoe::allow_open_files();
    hetmoe::measure(argument_count > 1 ? std::atoi(arguments[1]) : 4096,
                    argument_count > 2 ? std::atof(arguments[2]) : 10);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "hetmoe_coordinator_load: %s\n", error.what());
    return 1;
  }
}
