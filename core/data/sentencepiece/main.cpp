// The only program that links SentencePiece, which cannot share a process with Protobuf.
#include <sys/prctl.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include "core/data/sentencepiece/server.h"
#include "core/data/sentencepiece/training.h"

namespace {

constexpr const char* kUsage =
    "usage: hetmoe-sentencepiece serve MODEL\n"
    "       hetmoe-sentencepiece train --vocab-size N --out PREFIX [--seed N] [--] INPUT...\n";
constexpr int kUsageFault = 2;
constexpr int kStorageFault = 3;

template <typename T>
bool parse(const std::string& text, T& out) {
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, out);
  return result.ec == std::errc() && result.ptr == end;
}

bool parse_training(const std::vector<std::string>& words, hetmoe::TrainingOptions& out) {
  bool only_inputs = false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (only_inputs || !word.starts_with("--")) {
      out.inputs.push_back(word);
    } else if (word == "--") {
      only_inputs = true;
    } else if (++i == words.size()) {
      return false;
    } else if (word == "--vocab-size") {
      if (!parse(words[i], out.vocab_size)) return false;
    } else if (word == "--seed") {
      if (!parse(words[i], out.seed)) return false;
    } else if (word == "--out") {
      out.out_prefix = words[i];
    } else {
      return false;
    }
  }
  return out.vocab_size > 0 && !out.out_prefix.empty() && !out.inputs.empty();
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  hetmoe::TrainingOptions training;
  try {
    if (words.size() == 2 && words[0] == "serve") {
      hetmoe::serve(words[1]);
      return 0;
    }
    if (!words.empty() && words[0] == "train" &&
        parse_training({words.begin() + 1, words.end()}, training)) {
      // Who is left alone must not write over what a later run of the same command trains.
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      hetmoe::train_model(training);
      return 0;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return kStorageFault;
  }
  std::fputs(kUsage, stderr);
  return kUsageFault;
}
