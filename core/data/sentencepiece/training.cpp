#include "core/data/sentencepiece/training.h"

#include <sentencepiece_trainer.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <unordered_map>

#include "core/data/utf8.h"

namespace hetmoe {
namespace {

constexpr std::size_t kLongestLineBytes = 4000;  // SentencePiece skips what is longer than 4192

/// True where SentencePiece must not see the character: it marks spaces with U+2581, phrase borders
/// with a tab and unknown text with U+2585, and skips lines with any of them.
bool is_reserved(std::string_view character) {
  return character == "\t" || character == "\r" || character == std::string_view("\0", 1) ||
         character == "\xE2\x96\x81" || character == "\xE2\x96\x85";
}

void append_clean_parts(std::string_view line, std::vector<std::string>& out) {
  std::size_t begin = 0;
  std::size_t position = 0;
  const auto close = [&](std::size_t end) {
    if (end > begin) out.emplace_back(line.substr(begin, end - begin));
  };
  while (position < line.size()) {
    const std::size_t bytes = utf8_character_bytes(line, position);
    if (bytes == 0 || is_reserved(line.substr(position, bytes))) {
      close(position);
      position += std::max<std::size_t>(bytes, 1);
      begin = position;
    } else if (position + bytes - begin > kLongestLineBytes) {
      close(position);
      begin = position;
    } else {
      position += bytes;
    }
  }
  close(position);
}

/// Reads lines without ever holding more than `limit_bytes` of one: longer ones come in pieces.
bool read_line(std::FILE* file, std::string& line, std::size_t limit_bytes) {
  line.clear();
  int byte = 0;
  while (line.size() < limit_bytes && (byte = ::getc_unlocked(file)) != EOF) {
    if (byte == '\n') return true;
    line += static_cast<char>(byte);
  }
  return !line.empty();
}

class Lines final : public sentencepiece::SentenceIterator {
 public:
  explicit Lines(const std::vector<std::string>& lines) : lines_(lines) {}
  bool done() const override { return at_ >= lines_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return lines_[at_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& lines_;
  std::size_t at_ = 0;
};

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace

std::vector<std::string> sample_lines(const TrainingOptions& options) {
  double total_bytes = 0;
  for (const std::string& input : options.inputs) {
    std::error_code error;
    const auto bytes = std::filesystem::file_size(input, error);
    if (error) throw std::runtime_error("cannot read '" + input + "': " + error.message());
    total_bytes += static_cast<double>(bytes);
  }
  const double keep_ratio =
      std::min(1.0, static_cast<double>(options.sample_bytes) / std::max(1.0, total_bytes));
  std::vector<std::string> lines;
  std::string line;
  std::uint64_t number = 0;
  std::int64_t kept_bytes = 0;
  for (const std::string& input : options.inputs) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(input.c_str(), "rb"),
                                                               &std::fclose);
    if (file == nullptr) {
      throw std::runtime_error("cannot read '" + input + "': " + std::strerror(errno));
    }
    while (kept_bytes < options.sample_bytes && read_line(file.get(), line, kLongestLineBytes)) {
      const std::uint64_t hash = XXH3_64bits_withSeed(&number, sizeof(number), options.seed);
      ++number;
      if (static_cast<double>(hash >> 11) * 0x1.0p-53 >= keep_ratio) continue;
      kept_bytes += static_cast<std::int64_t>(line.size()) + 1;
      append_clean_parts(line, lines);
    }
  }
  return lines;
}

void train_model(const TrainingOptions& options) {
  const std::vector<std::string> lines = sample_lines(options);
  if (lines.empty()) throw std::runtime_error("the inputs hold no text to learn pieces from");
  const std::unordered_map<std::string, std::string> arguments = {
      {"model_type", "bpe"},
      {"vocab_size", std::to_string(options.vocab_size)},
      {"byte_fallback", "true"},
      {"normalization_rule_name", "identity"},
      {"add_dummy_prefix", "false"},
      {"remove_extra_whitespaces", "false"},
      {"allow_whitespace_only_pieces", "true"},
      {"num_threads", "1"},
      {"minloglevel", "2"}};
  Lines iterator(lines);
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(arguments, &iterator, &model);
  if (!status.ok()) {
    throw std::runtime_error("cannot train a vocabulary of " + std::to_string(options.vocab_size) +
                             " pieces on this text: " + one_line(status.ToString()));
  }
  const std::string path = options.out_prefix + ".model";
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(model.data(), static_cast<std::streamsize>(model.size()));
  file.close();
  if (!file) throw std::runtime_error("cannot write '" + path + "'");
}

}  // namespace hetmoe
