#pragma once

#include <optional>
#include <string>

namespace hetmoe {

/// The two halves of "HOST:PORT"; an IPv6 host has brackets there and none here.
struct NetworkAddress {
  std::string host;
  int port = 0;  ///< 0: any free one, for a listener
};

/// Nothing where the text is not HOST:PORT: no host, no port, a port beyond 65535, a host of other
/// characters than names and addresses are made of.
std::optional<NetworkAddress> parse_network_address(const std::string& text);

/// Whether it is a number, v4 or v6, and no name.
bool is_numeric_host(const std::string& host);

/// Why nobody can listen there, in the system's words; empty: one can. Opens the port for a moment.
std::string listening_fault(const NetworkAddress& address);

}  // namespace hetmoe
