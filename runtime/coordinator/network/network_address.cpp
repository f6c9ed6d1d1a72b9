#include "runtime/coordinator/network/network_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <string_view>

#include "core/base/host_name.h"
#include "core/files/file_descriptor.h"
#include "runtime/coordinator/limits.h"
#include "runtime/coordinator/network/coordinator_server.h"

namespace hetmoe {
namespace {

constexpr int kLargestPort = 65535;

bool is_digit(char letter) { return letter >= '0' && letter <= '9'; }

bool is_name_letter(char letter) {
  return is_digit(letter) || (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
         letter == '-' || letter == '.' || letter == '_';
}

std::optional<in_addr> parse_v4(const std::string& host) {
  in_addr address{};
  if (::inet_pton(AF_INET, host.c_str(), &address) != 1) return std::nullopt;
  return address;
}

std::optional<in6_addr> parse_v6(const std::string& host) {
  in6_addr address{};
  if (::inet_pton(AF_INET6, host.c_str(), &address) != 1) return std::nullopt;
  return address;
}

std::optional<int> parse_port(std::string_view text) {
  int port = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), port);
  const bool is_whole = fault == std::errc() && end == text.data() + text.size();
  if (!is_whole || !is_digit(text.front()) || port > kLargestPort) return std::nullopt;
  return port;
}

bool is_v4_loopback(const std::uint8_t first_byte) { return first_byte == 127; }

bool is_loopback_host(const std::string& host) {
  if (const auto v4 = parse_v4(host)) return is_v4_loopback(ntohl(v4->s_addr) >> 24);
  if (const auto v6 = parse_v6(host)) {
    const in6_addr& address = *v6;
    if (IN6_IS_ADDR_V4MAPPED(&address)) return is_v4_loopback(address.s6_addr[12]);
    return IN6_IS_ADDR_LOOPBACK(&address);
  }
  return ::strcasecmp(host.c_str(), "localhost") == 0;
}

}  // namespace

std::optional<NetworkAddress> parse_network_address(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos || text.size() > coordinator_limits::kNameBytes) return {};
  std::string host = text.substr(0, colon);
  const std::optional<int> port = parse_port(std::string_view(text).substr(colon + 1));
  if (!port) return {};
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    if (!parse_v6(host)) return {};
  } else if (host.empty() || !std::all_of(host.begin(), host.end(), is_name_letter)) {
    return {};
  }
  return NetworkAddress{host, *port};
}

bool is_numeric_host(const std::string& host) {
  return parse_v4(host).has_value() || parse_v6(host).has_value();
}

std::string listening_fault(const NetworkAddress& address) {
  const addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
  addrinfo* found = nullptr;
  const int failure =
      ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
  if (failure != 0) return ::gai_strerror(failure);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> list(found, &::freeaddrinfo);
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    const FileDescriptor socket(
        ::socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, one->ai_protocol));
    const int yes = 1;  // as gRPC does: connections that linger are not in the way
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (::bind(socket.get(), one->ai_addr, one->ai_addrlen) != 0) return std::strerror(errno);
  }
  return "";
}

bool is_loopback(const std::string& address) {
  const std::optional<NetworkAddress> parsed = parse_network_address(address);
  return parsed && is_loopback_host(parsed->host);
}

std::string reachable_host(const std::string& address) {
  std::string host = address.substr(0, address.rfind(':'));
  if (host != "0.0.0.0" && host != "[::]") return host;
  return host_name();
}

}  // namespace hetmoe
