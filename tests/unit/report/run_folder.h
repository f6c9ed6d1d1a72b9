#pragma once

#include <string>

#include "runtime/metrics/utc_time.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {

/// A run directory written by a test, file by file.
class RunFolder {
 public:
  void metrics(const std::string& line) { add("metrics.jsonl", line); }
  void step(int step, const std::string& more = "", int generation = 1) {
    metrics(R"({"step":)" + std::to_string(step) + R"(,"generation":)" +
            std::to_string(generation) + R"(,"tokens":)" + std::to_string(64 * step) +
            R"(,"loss":)" + std::to_string(8 - 0.01 * step) + R"(,"step_seconds":0.5)" + more +
            "}\n");
  }
  void event(const std::string& name, int step, double time, const std::string& more = "",
             int generation = 1) {
    add("events.jsonl", R"({"time":")" + iso8601_utc(kBegin + time) + R"(","generation":)" +
                            std::to_string(generation) + R"(,"step":)" + std::to_string(step) +
                            R"(,"rank":0,"event":")" + name + "\"" + more + "}\n");
  }
  void add(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name, std::ios::app | std::ios::binary) << text;
  }
  std::filesystem::path path() const { return folder_.path(); }

  static constexpr double kBegin = 1.8e9;

 private:
  TemporaryFolder folder_;
};

}  // namespace hetmoe
