#pragma once

#include <cstring>
#include <vector>

namespace hetmoe::test {

/// Equal bit for bit, NaN and signed zero included.
template <typename T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

}  // namespace hetmoe::test
