#include "core/tensor/zero_pages.h"

#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>

namespace hetmoe {
namespace {

std::int64_t resident_bytes() {
  std::int64_t total = 0;
  std::int64_t resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

TEST(ZeroPages, AreWhatZerosAre) {
  for (const std::int64_t elements : {0, 1, 1000, 1 << 19, (1 << 19) + 1, 3'000'017}) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kDouble}) {
      at::Tensor pages = zero_pages(elements, type);
      EXPECT_EQ(pages.scalar_type(), type);
      EXPECT_TRUE(pages.equal(at::zeros({elements}, type))) << elements << " of " << type;
      pages.fill_(3);
      EXPECT_EQ(pages.sum(at::kDouble).item<double>(), 3.0 * static_cast<double>(elements));
    }
  }
}

TEST(ZeroPages, TakeNoMemoryBeforeTheyAreTouched) {
  constexpr std::int64_t kBytes = std::int64_t{256} << 20;
  const std::int64_t before = resident_bytes();
  at::Tensor pages = zero_pages(kBytes / 4, at::kFloat);
  EXPECT_LT(resident_bytes(), before + kBytes / 8);
  pages.fill_(1);
  EXPECT_GE(resident_bytes(), before + kBytes - kBytes / 8);
  const at::Tensor part = pages.narrow(0, 0, 1);
  pages.reset();
  EXPECT_EQ(part.item<float>(), 1.0F);
  EXPECT_GE(resident_bytes(), before + kBytes - kBytes / 8) << "a view holds all of it";
}

TEST(ZeroPages, AreGivenBackWithTheLastView) {
  constexpr std::int64_t kBytes = std::int64_t{64} << 20;
  const std::int64_t before = resident_bytes();
  for (int round = 0; round < 20; ++round) zero_pages(kBytes / 4, at::kFloat).fill_(1);
  EXPECT_LT(resident_bytes(), before + 2 * kBytes);
}

}  // namespace
}  // namespace hetmoe
