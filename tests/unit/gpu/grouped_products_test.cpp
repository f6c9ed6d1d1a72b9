#include "core/kernels/gpu/grouped_products.h"

#include <gtest/gtest.h>
#include <observed_device.h>

#include <vector>

#include "core/kernels/gpu/chosen_products.h"
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
                const std::vector<ProductSize>& sizes, std::int64_t padding, double tolerance) {
  std::vector<ProductCase<In, Out>> cases;
  std::vector<gpu::Product> work;
  for (const ProductSize& size : sizes) {
    cases.emplace_back(kind.form, size, padding, static_cast<int>(cases.size()));
    work.push_back(cases.back().product());
  }
  products.run(kind, work, nullptr);
  for (const auto& one : cases) ASSERT_NO_FATAL_FAILURE(one.check(kind.adds, tolerance));
}

template <typename In, typename Out>
void check_types(gpu::GroupedProducts& products, double tolerance) {
  for (const Form form : {Form::kABt, Form::kAB, Form::kAtB}) {
    for (const bool adds : {false, true}) {
      const gpu::ProductKind kind{
          .form = form, .in = kNumber<In>, .out = kNumber<Out>, .adds = adds};
      const auto check = [&](std::vector<ProductSize> sizes, std::int64_t padding) {
        if (adds && sizes.size() > 1) sizes.push_back({16, 16, 0});  // nobody came to this slice
        ASSERT_NO_FATAL_FAILURE((check_call<In, Out>(products, kind, sizes, padding, tolerance)))
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
  check_types<float, float>(products, 1e-5);
  check_types<BFloat16Bits, BFloat16Bits>(products, 8e-3);
  check_types<BFloat16Bits, float>(products, 1e-5);
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
  whole.check(false, 8e-3);
  odd.check(false, 8e-3);
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
