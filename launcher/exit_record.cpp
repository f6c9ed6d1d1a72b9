#include "launcher/exit_record.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <system_error>

namespace hetmoe {
namespace {

constexpr std::size_t kLargestFileBytes = std::size_t{64} << 10;
constexpr std::size_t kLongestReason = 300;

/// Closes on every way out.
class OpenFile {
 public:
  explicit OpenFile(const std::filesystem::path& path)
      : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~OpenFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  /// Of the opened file: a network file system looks again on opening, not on asking by name.
  std::optional<struct stat> status() const {
    struct stat status = {};
    if (descriptor_ < 0 || ::fstat(descriptor_, &status) != 0) return std::nullopt;
    return status;
  }

  std::string read(std::size_t most) const {
    std::string text(most, '\0');
    std::size_t done = 0;
    while (done < most) {
      const ssize_t got = ::read(descriptor_, text.data() + done, most - done);
      if (got <= 0) break;
      done += static_cast<std::size_t>(got);
    }
    text.resize(done);
    return text;
  }

 private:
  int descriptor_;
};

bool same(const struct stat& one, const struct stat& other) {
  return one.st_dev == other.st_dev && one.st_ino == other.st_ino && one.st_size == other.st_size &&
         one.st_mtim.tv_sec == other.st_mtim.tv_sec && one.st_mtim.tv_nsec == other.st_mtim.tv_nsec;
}

std::optional<ExitCode> known_code(const nlohmann::json& value) {
  constexpr std::array kCodes = {
      ExitCode::kDone,      ExitCode::kInternal,        ExitCode::kConfiguration,
      ExitCode::kStorage,   ExitCode::kCommunication,   ExitCode::kCoordinator,
      ExitCode::kNonFinite, ExitCode::kStoppedBySignal, ExitCode::kDoNotRunAgain};
  if (!value.is_number_integer()) return std::nullopt;
  for (const ExitCode code : kCodes) {
    if (value == static_cast<int>(code)) return code;
  }
  return std::nullopt;
}

/// Printed on a terminal: one line, without control characters.
std::string one_line(std::string text) {
  text = text.substr(0, std::min(text.find('\n'), kLongestReason));
  std::replace_if(
      text.begin(), text.end(),
      [](unsigned char letter) { return letter < 0x20 || letter == 0x7f; }, ' ');
  return text;
}

/// Reading the folder makes a network file system drop what it remembers of it, an absent file too.
void read_folder(const std::filesystem::path& path) {
  std::error_code ignored;
  for (std::filesystem::directory_iterator entry(path, ignored), end; !ignored && entry != end;
       entry.increment(ignored)) {
  }
}

std::optional<ExitRecord> record_in(const OpenFile& file) {
  const std::string text = file.read(kLargestFileBytes);
  const auto content = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!content.is_object()) return std::nullopt;
  const auto code = known_code(content.value("code", nlohmann::json()));
  const auto reason = content.value("reason", nlohmann::json());
  if (!code) return std::nullopt;
  return ExitRecord{*code, reason.is_string() ? one_line(reason.get<std::string>()) : ""};
}

}  // namespace

std::optional<ExitRecord> read_exit_record(const std::filesystem::path& run_directory) {
  read_folder(run_directory);
  const OpenFile file(run_directory / "exit.json");
  return file.status() ? record_in(file) : std::nullopt;
}

ExitRecordWatch::ExitRecordWatch(const std::filesystem::path& run_directory)
    : path_(run_directory / "exit.json"), before_(OpenFile(path_).status()) {}

std::optional<ExitRecord> ExitRecordWatch::written_since() const {
  read_folder(path_.parent_path());
  const OpenFile file(path_);
  const auto now = file.status();
  if (!now || (before_ && same(*before_, *now))) return std::nullopt;
  return record_in(file);
}

}  // namespace hetmoe
