#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <stdexcept>
#include <string>

namespace hetmoe {

/// Connects to a port of this machine, sends `text` and gives all that comes until the peer hangs
/// up.
inline std::string exchange_with(int port, const std::string& text) {
  const int peer = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(peer, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    ::close(peer);
    throw std::runtime_error("nobody listens");
  }
  std::string answer;
  if (::send(peer, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size())) {
    std::array<char, 4096> block = {};
    for (ssize_t got = 0; (got = ::recv(peer, block.data(), block.size(), 0)) > 0;) {
      answer.append(block.data(), static_cast<std::size_t>(got));
    }
  }
  ::close(peer);
  return answer;
}

inline std::string get(int port, const std::string& path, const std::string& headers = "",
                       const std::string& method = "GET") {
  return exchange_with(port,
                       method + " " + path + " HTTP/1.1\r\nHost: here\r\n" + headers + "\r\n");
}

inline int status_of(const std::string& answer) {
  return answer.starts_with("HTTP/1.1 ") ? std::stoi(answer.substr(9, 3)) : 0;
}

inline std::string body_of(const std::string& answer) {
  const std::size_t end = answer.find("\r\n\r\n");
  return end == std::string::npos ? "" : answer.substr(end + 4);
}

}  // namespace hetmoe
