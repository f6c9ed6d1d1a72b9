#include "core/files/digest.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <vector>

namespace hetmoe {
namespace {

std::vector<std::byte> counted_bytes(std::size_t count) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i & 0xff);
  return bytes;
}

// Values of the `xxhash` package of Python (xxh3_128, seed 0).
TEST(Digest, IsXxh3Of128BitsInCanonicalForm) {
  EXPECT_EQ(digest_of({}), "xxh3-128:99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(digest_of(std::as_bytes(std::span("abc", 3))),
            "xxh3-128:06b05ab6733a618578af5f94892f3950");
  EXPECT_EQ(digest_of(counted_bytes(1280)), "xxh3-128:d92ab3a1cb0542a74844b009e164352e");
}

TEST(Digest, OfPiecesIsThatOfTheWhole) {
  const auto bytes = counted_bytes(100003);
  for (const std::size_t piece : {1, 7, 64, 1023, 65536, 200000}) {
    Digest digest;
    for (std::size_t begin = 0; begin < bytes.size(); begin += piece) {
      digest.update(std::span(bytes).subspan(begin, std::min(piece, bytes.size() - begin)));
      digest.update({});
    }
    EXPECT_EQ(digest.text(), digest_of(bytes)) << piece;
  }
}

TEST(Digest, OfNothingSoFarIsThatOfNothing) { EXPECT_EQ(Digest().text(), digest_of({})); }

TEST(Digest, GoesOnAfterItWasAsked) {
  const auto bytes = counted_bytes(500);
  Digest digest;
  digest.update(std::span(bytes).first(300));
  EXPECT_EQ(digest.text(), digest_of(std::span(bytes).first(300)));
  digest.update(std::span(bytes).subspan(300));
  EXPECT_EQ(digest.text(), digest_of(bytes));
}

TEST(Digest, DiffersWhenOneBitDoes) {
  auto bytes = counted_bytes(4096);
  const std::string before = digest_of(bytes);
  bytes[1234] ^= std::byte{1};
  EXPECT_NE(digest_of(bytes), before);
}

}  // namespace
}  // namespace hetmoe
