#include "runtime/metrics/lock_holder.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "core/base/host_name.h"
#include "runtime/metrics/events_file.h"

namespace hetmoe {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kLongestName = 256;

/// Names end up in one-line messages, and may come from a file that anybody wrote.
bool is_name(std::string_view text) {
  return text.size() <= kLongestName &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

std::string name_or_nothing(std::string text) { return is_name(text) ? std::move(text) : ""; }

std::string environment(const char* variable) {
  const char* value = std::getenv(variable);
  return value == nullptr ? "" : name_or_nothing(value);
}

std::string process_table() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string boot;
  std::getline(file, boot);
  std::error_code ignored;
  const auto space = std::filesystem::read_symlink("/proc/self/ns/pid", ignored);
  return name_or_nothing(boot + " " + space.string());
}

struct ProcessState {
  char state = '?';
  std::int64_t start = 0;
};

/// Fields 3 and 22 of /proc/PID/stat. Field 2, the name, may hold blanks and parentheses.
std::optional<ProcessState> look_up(std::int64_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  const std::string line((std::istreambuf_iterator<char>(file)), {});
  const auto name_end = line.rfind(')');
  if (name_end == std::string::npos) return {};
  std::istringstream fields(line.substr(name_end + 1));
  ProcessState found;
  fields >> found.state;
  std::string skipped;
  for (int field = 4; field < 22; ++field) fields >> skipped;
  fields >> found.start;
  if (!fields) return {};
  return found;
}

/// When in doubt it lives: then it is watched, which never harms.
bool is_gone(const LockHolder& holder) {
  if (::kill(static_cast<pid_t>(holder.process), 0) != 0 && errno == ESRCH) return true;
  const std::optional<ProcessState> found = look_up(holder.process);
  if (!found) return false;
  const bool reused = holder.process_start != 0 && found->start != holder.process_start;
  const bool ended = found->state == 'Z' || found->state == 'X';  // nobody has waited for it yet
  return reused || ended;
}

bool same_and_given(const std::string& one, const std::string& other) {
  return !one.empty() && one == other;
}

}  // namespace

std::string LockHolder::text() const {
  return "process " + std::to_string(process) + " on host " + host + " (" +
         (slurm_job.empty() ? "no Slurm job" : "Slurm job " + slurm_job) + ", generation " +
         std::to_string(generation) + ")";
}

LockHolder this_process() {
  LockHolder self;
  const std::string host = name_or_nothing(host_name());
  self.host = host.empty() ? "unknown" : host;
  self.process_table = process_table();
  self.process = ::getpid();
  if (const auto found = look_up(self.process)) self.process_start = found->start;
  self.slurm_job = environment("SLURM_JOB_ID");
  self.launch_id = environment("HETMOE_LAUNCH_ID");
  return self;
}

bool same_holding(const LockHolder& one, const LockHolder& other) {
  return one.host == other.host && one.process_table == other.process_table &&
         one.process == other.process && one.process_start == other.process_start &&
         one.generation == other.generation;
}

std::optional<std::string> reason_to_take_over(const LockHolder& holder, const LockHolder& self) {
  if (holder.host == self.host && holder.process_table == self.process_table) {
    if (is_gone(holder)) return "that process is gone";
    return {};
  }
  if (same_and_given(holder.slurm_job, self.slurm_job)) return "this is the same Slurm job";
  if (same_and_given(holder.launch_id, self.launch_id)) return "this is the same launch";
  return {};
}

std::string write_lock_holder(const LockHolder& holder) {
  const Json json = {{"host", holder.host},
                     {"process_table", holder.process_table},
                     {"process", holder.process},
                     {"process_start", holder.process_start},
                     {"slurm_job", holder.slurm_job},
                     {"launch_id", holder.launch_id},
                     {"generation", holder.generation},
                     {"beat", holder.beat}};
  return json.dump(2) + "\n";
}

std::optional<LockHolder> read_lock_holder(std::string_view text) {
  if (text.size() > kLongestLockBytes) return {};
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return {};
  bool whole = true;
  const auto name = [&](const char* key) -> std::string {
    const auto found = json.find(key);
    whole = whole && found != json.end() && found->is_string() &&
            is_name(found->get_ref<const std::string&>());
    return whole ? found->get<std::string>() : "";
  };
  const auto number = [&](const char* key, std::int64_t least, std::int64_t most) -> std::int64_t {
    const auto found = json.find(key);
    whole = whole && found != json.end() && found->is_number_integer() &&
            found->get<std::int64_t>() >= least && found->get<std::int64_t>() <= most;
    return whole ? found->get<std::int64_t>() : 0;
  };
  constexpr std::int64_t any = std::numeric_limits<std::int64_t>::max();
  LockHolder holder;
  holder.host = name("host");
  holder.process_table = name("process_table");
  holder.process = number("process", 1, std::numeric_limits<pid_t>::max());
  holder.process_start = number("process_start", 0, any);
  holder.slurm_job = name("slurm_job");
  holder.launch_id = name("launch_id");
  holder.generation = static_cast<int>(number("generation", 1, kLargestGeneration));
  holder.beat = number("beat", 0, any);
  if (!whole) return {};
  return holder;
}

}  // namespace hetmoe
