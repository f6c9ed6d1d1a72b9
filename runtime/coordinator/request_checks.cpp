#include "runtime/coordinator/request_checks.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/base/check.h"
#include "runtime/coordinator/limits.h"
#include "runtime/metrics/events_file.h"

namespace hetmoe {
namespace {

namespace limits = coordinator_limits;

constexpr std::int64_t kAny = std::numeric_limits<std::int64_t>::max();

bool is_printable_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f; });
}

bool is_word(std::string_view text) {
  return is_printable_ascii(text) && !text.empty() && text.find(' ') == std::string_view::npos;
}

/// ASCII's and, in UTF-8, those of ISO 6429: a terminal would obey them.
bool has_control_character(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
    if (byte < 0x20 || byte == 0x7f || (byte == 0xc2 && next >= 0x80 && next < 0xa0)) return true;
  }
  return false;
}

bool is_utf8(std::string_view text) {
  try {
    return !nlohmann::json(text).dump().empty();
  } catch (const nlohmann::json::type_error&) {
    return false;
  }
}

bool is_port(std::string_view text) {
  if (text.empty() || text.size() > 5) return false;
  if (text.find_first_not_of("0123456789") != std::string_view::npos) return false;
  const int port = std::stoi(std::string(text));
  return port >= 1 && port <= 65535;
}

bool is_address(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  return colon != std::string_view::npos && colon > 0 && is_port(text.substr(colon + 1)) &&
         is_word(text);
}

bool is_file_name(std::string_view text) {
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return !text.empty() && text.front() != '.' && std::ranges::all_of(text, is_plain);
}

bool is_digest(std::string_view text) {
  constexpr std::string_view kPrefix = "xxh3-128:";
  return text.starts_with(kPrefix) && text.size() == kPrefix.size() + 32 &&
         text.find_first_not_of("0123456789abcdef", kPrefix.size()) == std::string_view::npos;
}

/// The fields of one call.
class Fields {
 public:
  explicit Fields(std::string call) : call_(std::move(call)) {}

  void integer(const char* name, std::int64_t value, std::int64_t low, std::int64_t high) const {
    if (value >= low && value <= high) return;
    refuse(name, std::to_string(value), detail::concatenate(low, " to ", high));
  }

  void finite(const char* name, double value) const {
    if (!std::isfinite(value)) refuse(name, detail::concatenate(value), "a finite number");
  }

  /// A time, a rate, an amount.
  void amount(const char* name, double value) const {
    if (std::isfinite(value) && value >= 0) return;
    refuse(name, detail::concatenate(value), "a finite number from 0");
  }

  void integers(const char* name, const std::vector<std::int64_t>& values, std::size_t most) const {
    count(name, values.size(), most);
    for (const std::int64_t value : values) integer(name, value, 0, kAny);
  }

  void amounts(const char* name, const std::vector<double>& values, std::size_t most) const {
    count(name, values.size(), most);
    for (const double value : values) amount(name, value);
  }

  void count(const char* name, std::size_t size, std::size_t most) const {
    if (size > most)
      refuse(name, detail::concatenate(size, " values"), detail::concatenate("up to ", most));
  }

  void text(const char* name, std::string_view value, bool is_good, const char* allowed) const {
    if (value.size() > limits::kNameBytes) {
      refuse(name, detail::concatenate(value.size(), " bytes long"),
             detail::concatenate("up to ", limits::kNameBytes));
    }
    if (!is_good) refuse(name, shown_text(value), allowed);
  }

  void word(const char* name, std::string_view value) const {
    text(name, value, is_word(value), "printable ASCII without blanks, not empty");
  }

  void line(const char* name, std::string_view value) const {
    text(name, value, is_printable_ascii(value), "printable ASCII");
  }

  void member(const Member& member, std::int64_t least_generation) const {
    text("run", member.run, is_run_name(member.run), "UTF-8 without control characters, not empty");
    integer("generation", member.generation, least_generation, kLargestGeneration);
    integer("rank", member.rank, 0, limits::kRanks - 1);
  }

  void files(const std::vector<PreparedFile>& files) const {
    integer("number of files", static_cast<std::int64_t>(files.size()), 0, limits::kFilesOfShard);
    std::set<std::string_view> names;
    for (const PreparedFile& file : files) {
      text("file name", file.name, is_file_name(file.name),
           "letters, digits, '.', '_' and '-', no '.' in front");
      text("file name", file.name, names.insert(file.name).second, "each name once");
      integer("file bytes", file.bytes, 0, kAny);
      text("file digest", file.digest, is_digest(file.digest),
           "xxh3-128: and 32 lower-case hex digits");
    }
  }

  [[noreturn]] void refuse(const char* name, const std::string& value,
                           const std::string& allowed) const {
    throw CoordinatorError(CoordinatorFault::kInvalid,
                           call_ + ": " + name + " is " + value + ", allowed: " + allowed);
  }

 private:
  std::string call_;
};

Fields fields_of(const char* call, const Member& member) {
  return Fields(detail::concatenate(call, " of rank ", member.rank));
}

void check_phases(const Fields& fields, const PhaseSeconds& phase) {
  fields.amount("phase data", phase.data);
  fields.amount("phase forward", phase.forward);
  fields.amount("phase dispatch_wait", phase.dispatch_wait);
  fields.amount("phase expert", phase.expert);
  fields.amount("phase combine_wait", phase.combine_wait);
  fields.amount("phase backward", phase.backward);
  fields.amount("phase gradients", phase.gradients);
  fields.amount("phase optimizer", phase.optimizer);
  fields.amount("phase parameters", phase.parameters);
  fields.finite("phase other", phase.other);  // the rest: a longest step less mean phases
}

}  // namespace

void check_bounds(const JoinRequest& request) {
  const Fields fields = fields_of("join", request.member);
  fields.member(request.member, 0);
  fields.integer("ranks", request.ranks, 1, limits::kRanks);
  fields.integer("rank", request.member.rank, 0, request.ranks - 1);
  fields.word("host", request.host);
  fields.integer("process", request.process, 1, kAny);
  const std::string& address = request.metrics_address;
  fields.text("metrics address", address, address.empty() || is_address(address),
              "HOST:PORT or nothing");
}

void check_bounds(const Heartbeat& heartbeat) {
  const Fields fields = fields_of("heartbeat", heartbeat.member);
  fields.member(heartbeat.member, 1);
  fields.integer("step", heartbeat.step, 0, limits::kSteps);
  fields.line("phase", heartbeat.phase);
  fields.integer("collective sequence", heartbeat.collective_sequence, 0, kAny);
  fields.line("collective", heartbeat.collective);
  fields.amount("step seconds", heartbeat.step_seconds);
  fields.amount("expert FLOPs", heartbeat.expert_flops);
  fields.amount("wait seconds", heartbeat.wait_seconds);
  fields.integer("memory bytes", heartbeat.memory_bytes, 0, kAny);
  fields.integer("device memory bytes", heartbeat.device_memory_bytes, 0, kAny);
  fields.integer("executed command", heartbeat.executed_command, 0,
                 heartbeat.member.rank == 0 ? kAny : 0);
  const bool has_executed = heartbeat.executed_command > 0;
  fields.integer("executed step", heartbeat.executed_step, has_executed ? 1 : 0,
                 has_executed ? limits::kSteps : 0);
}

void check_bounds(const StepReport& report) {
  const Fields fields = fields_of("step report", report.member);
  const StepRecord& record = report.record;
  fields.member(report.member, 1);
  fields.integer("step", record.step, 1, limits::kSteps);
  fields.integer("tokens", record.tokens, 0, kAny);
  fields.amount("learning rate", record.learning_rate);
  fields.integer("skipped steps", record.skipped, 0, limits::kSteps);
  fields.amount("step seconds", record.step_seconds);
  fields.amount("tokens per second", record.tokens_per_second);
  fields.amount("model FLOPs per second", record.model_flops_per_second);
  check_phases(fields, record.phase_seconds);
  fields.amount("FLOPs max over mean", record.flops_max_over_mean);
  fields.integer("dispatched bytes", record.bytes.dispatch, 0, kAny);
  fields.integer("combined bytes", record.bytes.combine, 0, kAny);
  fields.integer("gradient bytes", record.bytes.gradients, 0, kAny);
  fields.integer("parameter bytes", record.bytes.parameters, 0, kAny);
  fields.integer("hidden parameter bytes", record.bytes.parameters_hidden, 0, kAny);
  fields.integer("bytes to other nodes", record.bytes.other_node, 0, kAny);
  fields.integers("tokens of an expert", record.expert_tokens, limits::kExperts);
  fields.amounts("FLOPs max over mean of a layer", record.layer_flops_max_over_mean,
                 limits::kLayers);
  fields.integer("memory bytes", record.memory_bytes, 0, kAny);
  fields.integer("device memory bytes", record.device_memory_bytes, 0, kAny);
  const RunProgress& progress = report.progress;
  fields.integer("planned steps", progress.planned_steps, 0, limits::kSteps);
  fields.amount("productive seconds", progress.productive_seconds);
  fields.amount("elapsed seconds", progress.elapsed_seconds);
  fields.integer("rebalances", progress.rebalances, 0, limits::kSteps);
  fields.finite("predicted gain seconds", progress.predicted_gain_seconds);
  fields.finite("measured gain seconds", progress.measured_gain_seconds);
  fields.amount("predicted expert seconds", progress.predicted_expert_seconds);
  fields.integer("failed saves", progress.failed_saves, 0, kAny);
  fields.amount("save blocked seconds", progress.save_blocked_seconds);
  fields.integer("checkpoint every steps", progress.checkpoint_every_steps, 0, limits::kSteps);
  fields.amount("peak FLOPs per second", progress.peak_flops_per_second);
  fields.integers("width of an expert", progress.expert_widths, limits::kExperts);
}

void check_bounds(const PreparedShard& shard) {
  const Fields fields = fields_of("prepared checkpoint", shard.member);
  fields.member(shard.member, 1);
  fields.integer("step", shard.step, 1, limits::kSteps);
  fields.word("configuration digest", shard.configuration_digest);
  fields.files(shard.files);
}

void check_bounds(const CommittedCheckpoint& checkpoint) {
  const Fields fields = fields_of("committed checkpoint", checkpoint.member);
  fields.member(checkpoint.member, 1);
  fields.integer("step", checkpoint.step, 1, limits::kSteps);
  fields.integer("bytes", checkpoint.bytes, 0, kAny);
  fields.amount("seconds", checkpoint.seconds);
  fields.amount("wall seconds", checkpoint.wall_seconds);
}

void check_bounds(CommandKind kind) {
  if (std::ranges::find(kCommandKinds, kind) != std::end(kCommandKinds)) return;
  Fields("command").refuse("kind", std::to_string(static_cast<int>(kind)),
                           "save, stop, stop_and_requeue or rebalance");
}

bool is_run_name(std::string_view text) {
  return !text.empty() && text.size() <= limits::kNameBytes && !has_control_character(text) &&
         is_utf8(text);
}

std::string shown_text(std::string_view text) {
  constexpr std::size_t kShownBytes = 64;
  const auto replace = nlohmann::json::error_handler_t::replace;
  return nlohmann::json(text.substr(0, kShownBytes)).dump(-1, ' ', true, replace);
}

}  // namespace hetmoe
