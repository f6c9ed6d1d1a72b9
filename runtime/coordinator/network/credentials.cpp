#include "runtime/coordinator/network/credentials.h"

#include <openssl/crypto.h>
#include <sys/random.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "core/base/check.h"
#include "core/base/error.h"
#include "runtime/coordinator/network/private_file.h"

namespace hetmoe {
namespace {

constexpr std::size_t kTokenBytes = 32;

}  // namespace

std::string make_token() {
  std::array<unsigned char, kTokenBytes> random{};
  // Up to 256 bytes come whole or not at all.
  const ssize_t got = ::getrandom(random.data(), random.size(), 0);
  HETMOE_CHECK(got == static_cast<ssize_t>(random.size()), "getrandom: ", std::strerror(errno));
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string token;
  for (const unsigned char byte : random) {
    token += kDigits[byte >> 4];
    token += kDigits[byte & 0xF];
  }
  return token;
}

bool same_secret(std::string_view one, std::string_view other) {
  return one.size() == other.size() && CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

std::string read_pem_file(const std::filesystem::path& path, bool is_secret) {
  std::string text;
  try {
    text = read_small_file(path, is_secret);
  } catch (const StorageError& error) {
    throw ConfigError(error.what());
  }
  if (text.find("-----BEGIN ") == std::string::npos) {
    throw ConfigError("cannot use '" + path.string() + "': not a PEM file");
  }
  return text;
}

}  // namespace hetmoe
