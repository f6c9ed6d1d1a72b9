#include "core/kernels/gpu/grouped_products.h"

#include <gtest/gtest.h>
#include <observed_device.h>

#include <array>
#include <vector>

#include "core/kernels/gpu/chosen_products.h"
#include "core/kernels/gpu/device_share.h"
#include "tests/unit/gpu/product_cases.h"

namespace hetmoe::test {
namespace {

using gpu::BFloat16Bits;
using gpu::Form;

// Nothing lies at multiples of 16 bytes.
constexpr std::int64_t kOddPadding = 3;
const std::vector<ProductSize> kOdd = {{5, 7, 9}, {0, 7, 9}, {1, 33, 8}, {16, 2, 40}, {3, 0, 4}};

// Everything does, in each form; more than one tile of a large kernel, and less.
constexpr std::int64_t kWholePadding = 8;
const std::vector<ProductSize> kWhole = {{136, 264, 72}, {0, 8, 8}, {8, 16, 8}, {24, 16, 136}};
// As a layer gives them: the number of tokens is rows, in the gradient of a weight depth.
const std::vector<ProductSize> kTokens = {{131, 24, 72}, {1, 24, 16}, {257, 16, 8}};

std::vector<ProductSize> token_sizes(Form form) {
  std::vector<ProductSize> sizes = kTokens;
  if (form != Form::kAtB) return sizes;
  for (ProductSize& size : sizes) std::swap(size.rows, size.depth);
  return sizes;
}

template <typename In, typename Out>
void check_call(gpu::GroupedProducts& products, const gpu::ProductKind& kind,
                const std::vector<ProductSize>& sizes, std::int64_t padding) {
  std::vector<ProductCase<In, Out>> cases;
  std::vector<gpu::Product> work;
  for (const ProductSize& size : sizes) {
    cases.emplace_back(kind.form, size, padding, static_cast<int>(cases.size()));
    work.push_back(cases.back().product());
  }
  products.run(kind, work, nullptr);
  for (const auto& one : cases) ASSERT_NO_FATAL_FAILURE(one.check(kind.adds));
}

template <typename In, typename Out>
void check_types(gpu::GroupedProducts& products) {
  for (const Form form : {Form::kABt, Form::kAB, Form::kAtB}) {
    for (const bool adds : {false, true}) {
      const gpu::ProductKind kind{
          .form = form, .in = kNumber<In>, .out = kNumber<Out>, .adds = adds};
      const auto check = [&](std::vector<ProductSize> sizes, std::int64_t padding) {
        if (adds && sizes.size() > 1) sizes.push_back({16, 16, 0});  // nobody came to this slice
        ASSERT_NO_FATAL_FAILURE((check_call<In, Out>(products, kind, sizes, padding)))
            << "form " << static_cast<int>(form) << " adds " << adds;
      };
      for (const auto& sizes : {std::vector<ProductSize>{}, {kOdd[0]}, kOdd})
        ASSERT_NO_FATAL_FAILURE(check(sizes, kOddPadding));
      for (const auto& sizes : {std::vector{kWhole[3]}, kWhole, token_sizes(form)})
        ASSERT_NO_FATAL_FAILURE(check(sizes, kWholePadding));
    }
  }
}

void check_every_kind(gpu::GroupedProducts& products) {
  check_types<float, float>(products);
  check_types<BFloat16Bits, BFloat16Bits>(products);
  check_types<BFloat16Bits, float>(products);
}

std::shared_ptr<gpu::GroupedProducts> streams() { return gpu::make_stream_products(4); }

TEST(GroupedProducts, on_several_streams_are_the_plain_loops) {
  for (const int streams : {1, 3}) check_every_kind(*gpu::make_stream_products(streams));
}

TEST(GroupedProducts, in_one_call_of_cublas_are_the_plain_loops) {
  check_every_kind(*gpu::make_batched_products(streams()));
}

TEST(GroupedProducts, in_kernels_of_cutlass_are_the_plain_loops) {
  if (!gpu::cutlass_is_available()) {
    GTEST_SKIP() << "CUTLASS is for Hopper (9.0), this device has " << gpu::compute_capability();
  }
  check_every_kind(*gpu::make_cutlass_products(streams()));
}

// Some fit the kernel and some do not: both halves of a call are done.
TEST(GroupedProducts, that_fit_and_that_do_not_are_done_together) {
  const gpu::ProductKind kind{.form = Form::kAB};
  const ProductCase<BFloat16Bits, BFloat16Bits> whole(Form::kAB, {24, 16, 72}, kWholePadding, 1),
      odd(Form::kAB, {24, 17, 71}, kOddPadding, 2);
  gpu::make_cutlass_products(streams())->run(kind, std::vector{odd.product(), whole.product()},
                                             nullptr);
  whole.check(false);
  odd.check(false);
}

// Of none, one and several tiles in no order, more tiles than multiprocessors: what a grid that
// stays for all of them goes through. Rows are tokens, in the gradient of a weight depth is.
std::vector<ProductSize> many_sizes(const gpu::ProductKind& kind) {
  constexpr std::int64_t kColumns = kIsObserved ? 8 : 264;  // plain loops take their time
  std::vector<ProductSize> sizes;
  for (std::int64_t i = 0; i < 48; ++i) {
    constexpr std::array<std::int64_t, 4> kFirst = {0, 1, 300, 520};
    const std::int64_t tokens =
        i % 12 < 4 ? kFirst[static_cast<std::size_t>(i % 12)] : 72 + i * 131 % 529;
    const std::int64_t other = 200 + 8 * (i * 7 % 33);
    if (kind.form != Form::kAtB) {
      sizes.push_back({tokens, kColumns, other});
    } else if (tokens > 0 || kind.adds) {
      sizes.push_back({other, kColumns, tokens});
    }
  }
  return sizes;
}

template <typename Out>
void check_many(gpu::GroupedProducts& products, const gpu::ProductKind& kind) {
  std::vector<ProductCase<BFloat16Bits, Out>> expected, got;
  std::vector<gpu::Product> expected_work, work;
  const std::vector<ProductSize> sizes = many_sizes(kind);
  for (const ProductSize& size : sizes) {
    const int seed = static_cast<int>(got.size());
    expected_work.push_back(expected.emplace_back(kind.form, size, kWholePadding, seed).product());
    work.push_back(got.emplace_back(kind.form, size, kWholePadding, seed).product());
  }
  ASSERT_TRUE(products.takes(kind, work));
  gpu::make_stream_products(4)->run(kind, expected_work, nullptr);
  products.run(kind, work, nullptr);
  constexpr AllowedDifference allowed = kAllowed<BFloat16Bits, Out>;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const std::vector<double> values = got[i].results(), wanted = expected[i].results();
    // Factors are around 1: so is the mean of a sum's terms.
    const double terms = allowed.of_terms * static_cast<double>(1 + sizes[i].depth);
    for (std::size_t j = 0; j < values.size(); ++j) {
      ASSERT_NEAR(values[j], wanted[j], allowed.of_sum * std::abs(wanted[j]) + terms)
          << "product " << i << ", element " << j;
    }
  }
}

TEST(GroupedProducts, in_kernels_of_cutlass_are_those_of_the_streams_however_many_and_uneven) {
  if (!gpu::cutlass_is_available()) {
    GTEST_SKIP() << "CUTLASS is for Hopper (9.0), this device has " << gpu::compute_capability();
  }
  using gpu::Number;
  for (const int reserve : {0, 16}) {
    const auto products = gpu::make_cutlass_products(streams(), reserve);
    for (const Form form : {Form::kABt, Form::kAB}) {
      ASSERT_NO_FATAL_FAILURE(check_many<BFloat16Bits>(*products, {.form = form}));
    }
    for (const bool adds : {false, true}) {
      ASSERT_NO_FATAL_FAILURE(check_many<float>(
          *products, {.form = Form::kAtB, .out = Number::kFloat32, .adds = adds}));
    }
  }
}

TEST(GroupedProducts, tell_what_they_do_not_give_to_others) {
  using gpu::Number;
  const gpu::ProductKind kind{.form = Form::kAB};
  const gpu::ProductKind to_fp32{.form = Form::kAtB, .out = Number::kFloat32, .adds = true};
  const ProductCase<BFloat16Bits, BFloat16Bits> whole(Form::kAB, {24, 16, 72}, kWholePadding, 1);
  const ProductCase<BFloat16Bits, float> wide(Form::kAtB, {24, 16, 72}, kWholePadding, 2);
  gpu::Product shifted = whole.product();
  shifted.a = static_cast<const BFloat16Bits*>(shifted.a) + 1;

  const auto on_streams = streams();
  EXPECT_TRUE(on_streams->takes(kind, std::vector{whole.product(), shifted}));
  EXPECT_TRUE(on_streams->takes(to_fp32, std::vector{wide.product()}));
  const auto batched = gpu::make_batched_products(on_streams);
  EXPECT_TRUE(batched->takes(kind, std::vector{whole.product()}));
  EXPECT_FALSE(batched->takes(kind, std::vector{whole.product(), shifted}));
  EXPECT_FALSE(batched->takes(to_fp32, std::vector{wide.product()}));
  const auto cutlass = gpu::make_cutlass_products(on_streams);
  EXPECT_EQ(cutlass->takes(kind, std::vector{whole.product()}), gpu::cutlass_is_available());
  EXPECT_EQ(cutlass->takes(to_fp32, std::vector{wide.product()}), gpu::cutlass_is_available());
  EXPECT_FALSE(cutlass->takes(kind, std::vector{whole.product(), shifted}));
  EXPECT_FALSE(cutlass->takes({.form = Form::kAB, .adds = true}, std::vector{whole.product()}));
}

TEST(GroupedProducts, the_host_never_waits) {
  const ProductCase<BFloat16Bits, BFloat16Bits> one(Form::kAB, {8, 8, 16}, kWholePadding, 1),
      other(Form::kAB, {24, 8, 16}, kWholePadding, 2);
  const std::vector<gpu::Product> work = {one.product(), other.product()};
  for (const auto way :
       {gpu::ProductWay::kStreams, gpu::ProductWay::kBatched, gpu::ProductWay::kCutlass}) {
    const auto products = gpu::make_products(way, streams());
    // The first round through the places of an upload allocates them.
    for (int i = 0; i < 100; ++i) products->run({.form = Form::kAB}, work, nullptr);
    gpu::wait_for(nullptr);
    for (int i = 0; i < 3; ++i) {
      const auto before = host_waits_so_far();
      products->run({.form = Form::kAB}, work, nullptr);
      EXPECT_EQ(host_waits_so_far(), before);
    }
  }
}

}  // namespace
}  // namespace hetmoe::test
