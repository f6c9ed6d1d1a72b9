#include "core/kernels/head_rows.h"
#include "core/kernels/processor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/support/gradient_check.h"

namespace hetmoe {
namespace {

using c10::BFloat16;
constexpr std::int64_t kRows = 5;
constexpr std::int64_t kStride = 200;

std::vector<float> drawn(const char* name, std::int64_t count) {
  const at::Tensor values = test_values(name, {count});
  const double* first = values.const_data_ptr<double>();
  return {first, first + count};
}

std::vector<BFloat16> narrow(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

struct Kernels {
  decltype(&plain_rotate_rows) rotate;
  decltype(&plain_rotate_rows_back) rotate_back;
  decltype(&plain_row_products) products;
};

/// All that the processor has.
std::vector<Kernels> all_kernels() {
  std::vector<Kernels> all{{plain_rotate_rows, plain_rotate_rows_back, plain_row_products}};
  if (has_avx512_bf16()) {
    all.push_back({avx512_rotate_rows, avx512_rotate_rows_back, avx512_row_products});
  }
  return all;
}

class HeadRows : public testing::TestWithParam<int> {};

TEST_P(HeadRows, FollowTheFormulas) {
  const std::int64_t width = GetParam();
  const std::int64_t half = width / 2;
  const std::vector<BFloat16> x = narrow(drawn("x", kRows * kStride));
  const std::vector<BFloat16> y = narrow(drawn("y", kRows * kStride));
  const std::vector<float> wide = drawn("wide", kRows * width);
  std::vector<float> cosine, sine;
  for (const float angle : drawn("angle", kRows * half)) {
    cosine.push_back(std::cos(angle));
    sine.push_back(std::sin(angle));
  }
  const HeadAngles angles{cosine.data(), sine.data()};
  for (const Kernels& kernels : all_kernels()) {
    const BFloat16 untouched(7.0F);
    std::vector<BFloat16> there(kRows * kStride, untouched), back = there;
    std::vector<float> products(kRows + 1, 7.0F);
    kernels.rotate(x.data(), kStride, angles, kRows, width, there.data(), kStride);
    kernels.rotate_back(wide.data(), 0.5F, angles, kRows, width, back.data(), kStride);
    kernels.products(x.data(), y.data(), kStride, kRows, width, products.data());
    for (std::int64_t row = 0; row < kRows; ++row) {
      double product = 0;
      for (std::int64_t i = 0; i < width; ++i) {
        product += static_cast<double>(x[row * kStride + i]) * y[row * kStride + i];
        const double c = cosine[row * half + i % half];
        const double s = (i < half ? -1.0 : 1.0) * sine[row * half + i % half];
        const std::int64_t other = i < half ? i + half : i - half;
        ASSERT_NEAR(there[row * kStride + i],
                    x[row * kStride + i] * c + x[row * kStride + other] * s, 0.02);
        ASSERT_NEAR(back[row * kStride + i],
                    0.5 * (wide[row * width + i] * c - wide[row * width + other] * s), 0.01);
      }
      ASSERT_NEAR(products[row], product, 1e-4);
      for (std::int64_t i = width; i < kStride; ++i) {
        ASSERT_EQ(there[row * kStride + i], untouched);
        ASSERT_EQ(back[row * kStride + i], untouched);
      }
    }
    ASSERT_EQ(products[kRows], 7.0F);
  }
}

INSTANTIATE_TEST_SUITE_P(Widths, HeadRows, testing::Values(32, 64, 96, 160));

}  // namespace
}  // namespace hetmoe
