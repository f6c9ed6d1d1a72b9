#include "runtime/metrics/rank_log.h"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>

#include "core/base/error.h"

namespace hetmoe {
namespace {

std::unique_ptr<spdlog::logger> open_logger(const std::filesystem::path& path) {
  try {
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path.string());
    auto logger = std::make_unique<spdlog::logger>(path.filename().string(), std::move(sink));
    logger->set_formatter(std::make_unique<spdlog::pattern_formatter>(
        "%Y-%m-%dT%H:%M:%S.%eZ %l: %v", spdlog::pattern_time_type::utc));
    logger->flush_on(spdlog::level::info);
    logger->set_error_handler([](const std::string&) {});  // a full disk must not end a run here
    return logger;
  } catch (const spdlog::spdlog_ex& error) {
    throw StorageError("cannot write '" + path.string() + "': " + error.what());
  }
}

}  // namespace

RankLog::RankLog(const std::filesystem::path& path) : logger_(open_logger(path)) {}

RankLog::~RankLog() = default;

void RankLog::note(const std::string& text) { logger_->info("{}", text); }

void RankLog::error(const std::string& text) { logger_->error("{}", text); }

}  // namespace hetmoe
