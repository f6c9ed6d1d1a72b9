#include "tests/unit/coordinator/wire_support.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "core/files/file_descriptor.h"

namespace hetmoe {

std::string loopback(int port) { return "127.0.0.1:" + std::to_string(port); }

Refusal refusal_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const CoordinatorError& error) {
    return {error.fault(), error.what()};
  }
  return {};
}

bool succeeds_within(double seconds, const std::function<void()>& call) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (std::chrono::steady_clock::now() < end) {
    if (refusal_of(call).words.empty()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return false;
}

void send_bytes(int port, const std::string& bytes) {
  const FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw std::runtime_error("cannot connect");
  }
  const timeval patience{.tv_sec = 1, .tv_usec = 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  std::array<char, 4096> answer{};
  while (::recv(socket.get(), answer.data(), answer.size(), 0) > 0) {
  }
}

}  // namespace hetmoe
