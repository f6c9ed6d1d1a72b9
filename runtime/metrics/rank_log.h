#pragma once

#include <filesystem>
#include <memory>
#include <string>

namespace spdlog {
class logger;
}

namespace hetmoe {

/// One rank's own log, `logs/rank-N.log`: what this rank did and why it ended, for the person who
/// asks which of many ranks went wrong. One line per event with UTC time, flushed at once; a failed
/// write is ignored.
class RankLog {
 public:
  /// Errors: StorageError if the file cannot be opened.
  explicit RankLog(const std::filesystem::path& path);
  ~RankLog();
  RankLog(const RankLog&) = delete;
  RankLog& operator=(const RankLog&) = delete;

  void note(const std::string& text);
  void error(const std::string& text);

 private:
  std::unique_ptr<spdlog::logger> logger_;
};

}  // namespace hetmoe
