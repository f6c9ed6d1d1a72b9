#include "core/data/sentencepiece/server.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <vector>

#include "core/data/sentencepiece/piece_codec.h"

namespace hetmoe {
namespace {

constexpr std::uint32_t kLargestFrameBytes = std::uint32_t{1} << 30;
constexpr unsigned kMostThreads = 8;

/// False at the end of the input, if it comes before the first byte.
bool read_exactly(char* out, std::size_t count) {
  std::size_t done = 0;
  while (done < count) {
    const ssize_t got = ::read(STDIN_FILENO, out + done, count - done);
    if (got < 0 && errno == EINTR) continue;
    if (got == 0 && done == 0) return false;
    if (got <= 0) throw std::runtime_error("the connection broke within a request");
    done += static_cast<std::size_t>(got);
  }
  return true;
}

void write_frame(const std::string& payload) {
  if (payload.size() > kLargestFrameBytes) throw std::runtime_error("a reply exceeds 1 GiB");
  const auto bytes = static_cast<std::uint32_t>(payload.size());
  std::string frame(reinterpret_cast<const char*>(&bytes), sizeof(bytes));
  frame += payload;
  std::size_t done = 0;
  while (done < frame.size()) {
    const ssize_t written = ::write(STDOUT_FILENO, frame.data() + done, frame.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw std::runtime_error("the connection broke within a reply");
    done += static_cast<std::size_t>(written);
  }
}

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

std::uint32_t take_u32(std::string_view& bytes) {
  std::uint32_t value = 0;
  if (bytes.size() < sizeof(value)) throw std::runtime_error("the request is too short");
  std::memcpy(&value, bytes.data(), sizeof(value));
  bytes.remove_prefix(sizeof(value));
  return value;
}

std::vector<std::string_view> take_texts(std::string_view body) {
  const std::uint32_t count = take_u32(body);
  if (count > body.size() / sizeof(std::uint32_t)) {
    throw std::runtime_error("the request is too short");
  }
  std::vector<std::string_view> texts(count);
  for (std::string_view& text : texts) {
    const std::uint32_t bytes = take_u32(body);
    if (bytes > body.size()) throw std::runtime_error("the request is too short");
    text = body.substr(0, bytes);
    body.remove_prefix(bytes);
  }
  return texts;
}

/// Each text on whichever thread is free; an exception of any of them is thrown here.
std::vector<std::vector<int>> encode_in_parallel(const PieceCodec& codec,
                                                 const std::vector<std::string_view>& texts) {
  std::vector<std::vector<int>> results(texts.size());
  std::vector<std::exception_ptr> failures(texts.size());
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < texts.size(); i = next++) {
      try {
        results[i] = codec.encode(texts[i]);
      } catch (...) {
        failures[i] = std::current_exception();
      }
    }
  };
  const std::size_t threads = std::min<std::size_t>(
      texts.size(), std::clamp(std::thread::hardware_concurrency(), 1U, kMostThreads));
  std::vector<std::jthread> helpers;
  for (std::size_t i = 1; i < threads; ++i) helpers.emplace_back(work);
  work();
  helpers.clear();  // joins
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  return results;
}

std::string describe(const PieceCodec& codec) {
  std::string reply(1, '+');
  put(reply, codec.vocab_size());
  put(reply, codec.end_of_document());
  put(reply, static_cast<std::uint8_t>(codec.keeps_every_byte()));
  return reply;
}

std::string encode(const PieceCodec& codec, std::string_view body) {
  std::string reply(1, '+');
  for (const std::vector<int>& ids : encode_in_parallel(codec, take_texts(body))) {
    put(reply, static_cast<std::uint32_t>(ids.size()));
    reply.append(reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(int));
  }
  return reply;
}

std::string decode(const PieceCodec& codec, std::string_view body) {
  std::vector<int> ids(body.size() / sizeof(int));
  if (!ids.empty()) std::memcpy(ids.data(), body.data(), ids.size() * sizeof(int));
  for (const int id : ids) {
    if (id < 0 || id >= codec.vocab_size()) {
      throw std::runtime_error("id " + std::to_string(id) + " is not in the vocabulary");
    }
  }
  return std::string(1, '+').append(codec.decode(ids));
}

std::string answer(const PieceCodec& codec, std::string_view request) {
  const char kind = request.empty() ? '\0' : request.front();
  if (!request.empty()) request.remove_prefix(1);
  if (kind == 'M') return describe(codec);
  if (kind == 'E') return encode(codec, request);
  if (kind == 'D') return decode(codec, request);
  return "-unknown request";
}

}  // namespace

void serve(const std::string& model_path) {
  const PieceCodec codec(model_path);
  std::uint32_t bytes = 0;
  while (read_exactly(reinterpret_cast<char*>(&bytes), sizeof(bytes))) {
    if (bytes > kLargestFrameBytes) throw std::runtime_error("a request exceeds 1 GiB");
    std::string request(bytes, '\0');
    if (bytes > 0 && !read_exactly(request.data(), bytes)) {
      throw std::runtime_error("the connection broke within a request");
    }
    std::string reply;
    try {
      reply = answer(codec, request);
    } catch (const std::exception& error) {
      reply.assign(1, '-').append(error.what());
    }
    write_frame(reply);
  }
}

}  // namespace hetmoe
