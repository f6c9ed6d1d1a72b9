#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "core/files/file_descriptor.h"
#include "launcher/doctor/checks.h"

namespace hetmoe {
namespace {

using Addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

/// Empty: it can be listened on. Nothing stays open.
std::string listen_fault(const std::string& host, const std::string& port) {
  addrinfo wanted = {};
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &wanted, &found); error != 0)
    return ::gai_strerror(error);
  const Addresses addresses(found, &::freeaddrinfo);
  const FileDescriptor opened(::socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, 0));
  if (!opened.is_open()) return std::strerror(errno);
  // As servers do: what a former one has left in the kernel is not in the way.
  const int yes = 1;
  ::setsockopt(opened.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  if (::bind(opened.get(), found->ai_addr, found->ai_addrlen) != 0 ||
      ::listen(opened.get(), 1) != 0) {
    return std::strerror(errno);
  }
  return "";
}

Finding asked_port(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos)
    return wrong("ports", "'" + address + "' is no address", "write HOST:PORT",
                 ExitCode::kConfiguration);
  std::string host = address.substr(0, colon);
  if (host.size() > 1 && host.front() == '[') host = host.substr(1, host.size() - 2);
  const std::string fault = listen_fault(host, address.substr(colon + 1));
  if (fault.empty()) return ok("ports", address + " is free");
  return wrong("ports", "cannot listen on " + address + ": " + fault,
               "take another port, or port 0 for any; 'ss -ltnp' shows who has it",
               ExitCode::kCommunication);
}

}  // namespace

Findings check_ports(const std::vector<std::string>& asked) {
  Findings findings;
  const std::string fault = listen_fault("127.0.0.1", "0");
  if (fault.empty()) {
    findings.push_back(ok("ports", "coordinator and metrics can listen on loopback"));
  } else {
    findings.push_back(
        wrong("ports", "cannot listen on 127.0.0.1: " + fault,
              "let this user open sockets on loopback; --set coordinator.listen=none "
              "metrics.listen=none trains without",
              ExitCode::kCommunication));
  }
  for (const std::string& address : asked) findings.push_back(asked_port(address));
  return findings;
}

}  // namespace hetmoe
