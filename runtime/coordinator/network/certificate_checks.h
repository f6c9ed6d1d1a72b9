#pragma once

#include <string>

namespace hetmoe {

// gRPC takes credentials that it cannot use and fails at every call, without saying why.
// Errors: CoordinatorError (kInvalid) that calls them `name`; never their contents.

/// At least one certificate in PEM.
void require_certificate(const std::string& certificate, const std::string& name);
/// And the key that belongs to the first one.
void require_key_pair(const std::string& certificate, const std::string& private_key,
                      const std::string& name);
/// Whether the first certificate is no longer valid that many days from now.
bool ends_within(const std::string& certificate, int days, const std::string& name);
/// Printable and without spaces, of at most 1,024 bytes: it travels in a header. May be empty.
void require_token(const std::string& token);

}  // namespace hetmoe
