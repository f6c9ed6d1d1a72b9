#include "launcher/data_command.h"

#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "core/data/inspect.h"

namespace hetmoe {
namespace {

/// One live line on a terminal; in a log file one line per stage.
class ProgressLine {
 public:
  ProgressLine() : is_terminal_(::isatty(STDERR_FILENO) != 0) {}

  void show(const PrepareProgress& progress) {
    const bool is_new_stage = progress.stage != stage_;
    if (is_terminal_) {
      if (is_new_stage && !stage_.empty()) std::fputc('\n', stderr);
      std::fprintf(stderr, "\r%s: %.0f %%, %lld documents, %lld tokens\x1b[K",
                   progress.stage.c_str(), percent(progress),
                   static_cast<long long>(progress.documents),
                   static_cast<long long>(progress.tokens));
    } else if (is_new_stage) {
      std::fprintf(stderr, "%s\n", progress.stage.c_str());
    }
    stage_ = progress.stage;
  }

  void end() const {
    if (is_terminal_ && !stage_.empty()) std::fputc('\n', stderr);
  }

 private:
  static double percent(const PrepareProgress& progress) {
    if (progress.total_bytes <= 0) return 100;
    return std::floor(100.0 * static_cast<double>(progress.read_bytes) /
                      static_cast<double>(progress.total_bytes));
  }

  bool is_terminal_;
  std::string stage_;
};

double bytes_per_token(const SplitSize& split) {
  if (split.tokens == 0) return 0;
  return static_cast<double>(split.raw_bytes) / static_cast<double>(split.tokens);
}

nlohmann::ordered_json as_json(const SplitSize& split) {
  return {{"documents", split.documents},
          {"tokens", split.tokens},
          {"raw_bytes", split.raw_bytes},
          {"bytes_per_token", bytes_per_token(split)}};
}

void print_row(const char* name, const SplitSize& split) {
  std::printf("%-6s %12lld %14lld %14lld %10.2f\n", name, static_cast<long long>(split.documents),
              static_cast<long long>(split.tokens), static_cast<long long>(split.raw_bytes),
              bytes_per_token(split));
}

}  // namespace

int run_data_prepare_command(const PrepareOptions& options, bool json) {
  ProgressLine line;
  const PrepareSummary summary =
      prepare(options, [&](const PrepareProgress& progress) { line.show(progress); });
  line.end();
  if (json) {
    const nlohmann::ordered_json out = {{"out", options.out_directory},
                                        {"vocab_size", summary.vocab_size},
                                        {"train", as_json(summary.train)},
                                        {"valid", as_json(summary.valid)}};
    std::cout << out.dump() << "\n";
    return 0;
  }
  std::printf("%-6s %12s %14s %14s %10s\n", "shard", "documents", "tokens", "raw bytes",
              "bytes/token");
  print_row("train", summary.train);
  print_row("valid", summary.valid);
  std::printf("vocabulary of %lld; train with data.train=%s/train data.valid=%s/valid\n",
              static_cast<long long>(summary.vocab_size), options.out_directory.c_str(),
              options.out_directory.c_str());
  return 0;
}

int run_data_inspect_command(const std::string& prefix, bool json) {
  std::string text = inspect_shard(prefix, json);
  if (!text.ends_with('\n')) text += '\n';
  std::cout << text;
  return 0;
}

}  // namespace hetmoe
