#include "core/data/sentencepiece_tokenizer.h"

#include <cstring>
#include <limits>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/data/child_process.h"
#include "core/data/mapped_file.h"
#include "core/files/digest.h"

namespace hetmoe {
namespace {

std::string executable_or_default(const std::string& executable) {
  return executable.empty() ? beside_running_program("hetmoe-sentencepiece") : executable;
}

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

/// Takes a reply apart; a reply that is too short is the child's fault.
class Reply {
 public:
  explicit Reply(const std::string& bytes) : bytes_(bytes) {}

  template <typename T>
  T take() {
    T value;
    std::memcpy(&value, take(sizeof(value)), sizeof(value));
    return value;
  }

  const char* take(std::size_t count) {
    if (count > bytes_.size() - position_) {
      throw StorageError("the tokenizer's reply of " + std::to_string(bytes_.size()) +
                         " bytes is too short");
    }
    const char* begin = bytes_.data() + position_;
    position_ += count;
    return begin;
  }

 private:
  const std::string& bytes_;
  std::size_t position_ = 0;
};

}  // namespace

SentencePieceTokenizer::SentencePieceTokenizer(const std::string& model_path,
                                               const std::string& executable)
    : model_path_(model_path), digest_(digest_of(MappedFile(model_path).bytes())) {
  child_ = std::make_unique<ChildProcess>(executable_or_default(executable),
                                          std::vector<std::string>{"serve", model_path});
  const std::string greeting = exchange("M");
  Reply reply(greeting);
  vocab_size_ = reply.take<std::int32_t>();
  end_of_document_ = reply.take<std::int32_t>();
  keeps_every_byte_ = reply.take<std::uint8_t>() != 0;
  if (vocab_size_ < 1 || end_of_document_ < 0 || end_of_document_ >= vocab_size_) {
    throw StorageError(model_path + ": has no end-of-sentence piece, which must end documents");
  }
}

SentencePieceTokenizer::~SentencePieceTokenizer() = default;

std::string SentencePieceTokenizer::exchange(const std::string& request) {
  child_->send_frame(request);
  std::string reply = child_->receive_frame();
  if (reply.empty()) throw StorageError(model_path_ + ": the tokenizer sent an empty reply");
  const bool good = reply.front() == '+';
  reply.erase(0, 1);
  if (!good) throw StorageError(model_path_ + ": " + reply);
  return reply;
}

void SentencePieceTokenizer::encode(std::span<const std::string_view> texts,
                                    std::vector<std::vector<std::int32_t>>& out) {
  std::string request = "E";
  put(request, static_cast<std::uint32_t>(texts.size()));
  for (const std::string_view text : texts) {
    put(request, static_cast<std::uint32_t>(text.size()));
    request += text;
  }
  const std::string answer = exchange(request);
  Reply reply(answer);
  out.resize(texts.size());
  for (auto& tokens : out) {
    const std::size_t count = reply.take<std::uint32_t>();
    const char* begin = reply.take(count * sizeof(std::int32_t));
    tokens.resize(count);
    if (count > 0) std::memcpy(tokens.data(), begin, count * sizeof(std::int32_t));
    for (const std::int32_t token : tokens) {
      HETMOE_CHECK(token >= 0 && token < vocab_size_, "token ", token, " of ", vocab_size_);
    }
  }
}

std::string SentencePieceTokenizer::decode(std::span<const std::int32_t> tokens) {
  std::string request = "D";
  for (const std::int32_t token : tokens) {
    HETMOE_CHECK(token >= 0 && token < vocab_size_, "token ", token, " of ", vocab_size_);
    put(request, token);
  }
  return exchange(request);
}

void train_sentencepiece(const SentencePieceTraining& training, const std::string& executable) {
  std::vector<std::string> arguments = {"train",
                                        "--vocab-size",
                                        std::to_string(training.vocab_size),
                                        "--seed",
                                        std::to_string(training.seed),
                                        "--out",
                                        training.out_prefix,
                                        "--"};
  arguments.insert(arguments.end(), training.inputs.begin(), training.inputs.end());
  ChildProcess(executable_or_default(executable), arguments).finish();
}

}  // namespace hetmoe
