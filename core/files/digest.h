#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace hetmoe {

/// "xxh3-128:" and 32 hex digits (canonical, big-endian form). Tells contents apart; no protection
/// against forgery.
std::string digest_of(std::span<const std::byte> bytes);

/// The same of bytes that come piece by piece.
class Digest {
 public:
  Digest();
  ~Digest();
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  void update(std::span<const std::byte> bytes);
  std::string text() const;  ///< of all bytes so far

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hetmoe
