#include "core/data/child_tokenizer.h"

#include <cstring>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/data/child_process.h"
#include "core/data/mapped_file.h"
#include "core/files/digest.h"

namespace hetmoe {
namespace {

constexpr std::int32_t kLargestVocabulary = 1 << 24;  // what a shard's sidecar may name

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

/// Takes a reply apart; one of the wrong length is the child's fault.
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
    if (count > bytes_.size() - position_) fail("too short");
    const char* begin = bytes_.data() + position_;
    position_ += count;
    return begin;
  }

  void finish() const {
    if (position_ != bytes_.size()) fail("too long");
  }

 private:
  [[noreturn]] void fail(const char* fault) const {
    throw StorageError("the tokenizer's reply of " + std::to_string(bytes_.size()) + " bytes is " +
                       fault);
  }

  const std::string& bytes_;
  std::size_t position_ = 0;
};

}  // namespace

ChildTokenizer::ChildTokenizer(const std::string& path, const std::string& executable)
    : path_(path), digest_(digest_of(MappedFile(path).bytes())) {
  child_ = std::make_unique<ChildProcess>(executable, std::vector<std::string>{"serve", path});
  const std::string greeting = exchange("M");
  Reply reply(greeting);
  const auto vocab_size = reply.take<std::int32_t>();
  end_of_document_ = reply.take<std::int32_t>();
  keeps_every_byte_ = reply.take<std::uint8_t>() != 0;
  reply.finish();
  if (vocab_size < 1 || vocab_size > kLargestVocabulary || end_of_document_ < -1 ||
      end_of_document_ >= vocab_size) {
    throw StorageError(path + ": has " + std::to_string(vocab_size) + " tokens, " +
                       std::to_string(end_of_document_) + " ends documents, allowed: 1 to " +
                       std::to_string(kLargestVocabulary) + " tokens, one of which may do so");
  }
  vocab_size_ = vocab_size;
}

ChildTokenizer::~ChildTokenizer() = default;

std::string ChildTokenizer::exchange(const std::string& request) {
  child_->send_frame(request);
  std::string reply = child_->receive_frame();
  if (reply.empty()) throw StorageError(path_ + ": the tokenizer sent an empty reply");
  const bool good = reply.front() == '+';
  reply.erase(0, 1);
  if (!good) throw StorageError(path_ + ": " + reply);
  return reply;
}

void ChildTokenizer::encode(std::span<const std::string_view> texts,
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
      if (token < 0 || token >= vocab_size_) {
        throw StorageError(path_ + ": the tokenizer gave token " + std::to_string(token) + " of " +
                           std::to_string(vocab_size_));
      }
    }
  }
  reply.finish();
}

std::string ChildTokenizer::decode(std::span<const std::int32_t> tokens) {
  std::string request = "D";
  for (const std::int32_t token : tokens) {
    HETMOE_CHECK(token >= 0 && token < vocab_size_, "token ", token, " of ", vocab_size_);
    put(request, token);
  }
  return exchange(request);
}

}  // namespace hetmoe
