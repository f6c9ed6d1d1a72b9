// What only the emulated device can show of grouped products: which calls were made, and failures.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/gpu/device_error.h"
#include "core/kernels/gpu/chosen_products.h"
#include "core/kernels/gpu/device_share.h"
#include "core/kernels/gpu/pointer_arguments.h"
#include "cublas_v2.h"
#include "tests/emulation/device_memory.h"
#include "tests/emulation/streams.h"
#include "tests/unit/gpu/product_cases.h"

namespace hetmoe::test {
namespace {

using gpu::BFloat16Bits;
using gpu::Form;
using gpu::Number;
using gpu::ProductWay;

constexpr gpu::ProductKind kFloats{
    .form = Form::kAB, .in = Number::kFloat32, .out = Number::kFloat32};

/// The text of what a run throws once `function` fails.
std::string failure(gpu::GroupedProducts& products, const gpu::ProductKind& kind,
                    const std::vector<gpu::Product>& work, const char* function) {
  emulation::fail_next(function, CUBLAS_STATUS_EXECUTION_FAILED);
  try {
    products.run(kind, work, nullptr);
  } catch (const gpu::DeviceError& error) {
    return error.what();
  }
  emulation::take_failure(function);
  return "";
}

/// Whether a run of this work calls the function.
bool calls(gpu::GroupedProducts& products, const gpu::ProductKind& kind,
           const std::vector<gpu::Product>& work, const char* function) {
  return !failure(products, kind, work, function).empty();
}

TEST(ProductCalls, a_failed_one_is_told_with_its_name) {
  const ProductCase<float, float> one(Form::kAB, {5, 7, 9}, 3, 1);
  EXPECT_EQ(failure(*gpu::make_stream_products(1), kFloats, {one.product()}, "cublasGemmEx"),
            "cublasGemmEx: CUBLAS_STATUS_EXECUTION_FAILED");
}

class WholeProducts : public testing::Test {
 protected:
  std::vector<gpu::Product> work() const { return {one_.product(), other_.product()}; }
  std::shared_ptr<gpu::GroupedProducts> made(ProductWay way) const {
    return gpu::make_products(way, gpu::make_stream_products(2));
  }

  const gpu::ProductKind kind_{.form = Form::kABt};
  const ProductCase<BFloat16Bits, BFloat16Bits> one_{Form::kABt, {5, 24, 16}, 8, 1},
      other_{Form::kABt, {40, 40, 16}, 8, 2};
};

TEST_F(WholeProducts, go_the_way_that_was_made) {
  for (const auto& [way, function] : {std::pair{ProductWay::kStreams, "cublasGemmEx"},
                                      {ProductWay::kBatched, "cublasGemmGroupedBatchedEx"},
                                      {ProductWay::kCutlass, "CUTLASS run"}}) {
    EXPECT_TRUE(calls(*made(way), kind_, work(), function)) << function;
  }
}

TEST_F(WholeProducts, of_other_kinds_leave_cutlass_for_the_streams) {
  gpu::ProductKind adds = kind_, to_fp32 = kind_;
  adds.adds = true;
  to_fp32.out = Number::kFloat32;
  const auto cutlass = made(ProductWay::kCutlass);
  EXPECT_TRUE(calls(*cutlass, adds, work(), "cublasGemmEx"));
  EXPECT_FALSE(calls(*cutlass, kind_, work(), "cublasGemmEx"));
  const ProductCase<BFloat16Bits, float> wide(Form::kABt, {5, 24, 16}, 8, 1);
  EXPECT_TRUE(calls(*cutlass, to_fp32, {wide.product()}, "cublasGemmEx"));
}

/// What the emulated device says of itself, until the end of the scope.
class Capability {
 public:
  explicit Capability(const char* text) { setenv("HETMOE_EMULATED_CAPABILITY", text, 1); }
  ~Capability() { unsetenv("HETMOE_EMULATED_CAPABILITY"); }
};

TEST_F(WholeProducts, on_other_devices_than_hopper_leave_cutlass_for_the_streams) {
  EXPECT_TRUE(made(ProductWay::kCutlass)->takes(kind_, work()));
  for (const char* other : {"8.0", "9.1", "10.0"}) {
    const Capability capability(other);
    EXPECT_EQ(gpu::compute_capability(), other);
    const auto cutlass = made(ProductWay::kCutlass);
    EXPECT_FALSE(cutlass->takes(kind_, work()));
    EXPECT_TRUE(calls(*cutlass, kind_, work(), "cublasGemmEx"));
    EXPECT_FALSE(gpu::cutlass_is_available());
  }
}

TEST_F(WholeProducts, leave_as_many_multiprocessors_to_others_as_they_are_told) {
  constexpr int kAll = emulation::kMultiprocessors;
  for (const auto& [reserve, left] : {std::pair{0, kAll}, {2, kAll - 2}, {16, kAll / 2}}) {
    for (const ProductWay way :
         {ProductWay::kStreams, ProductWay::kBatched, ProductWay::kCutlass}) {
      const auto products = gpu::make_products(way, gpu::make_stream_products(2, reserve), reserve);
      emulation::observed().product_multiprocessors = 0;
      products->run(kind_, work(), nullptr);
      EXPECT_EQ(emulation::observed().product_multiprocessors, left)
          << reserve << " of way " << static_cast<int>(way);
    }
  }
  for (const int reserve : {-2, 3}) {
    EXPECT_THROW(gpu::make_stream_products(1, reserve), InternalError) << reserve;
  }
}

TEST_F(WholeProducts, go_where_the_table_of_their_device_sends_their_class) {
  const gpu::MeasuredWay entry{.capability = gpu::compute_capability(),
                               .calls = gpu::class_of(kind_, work()),
                               .way = ProductWay::kCutlass};
  EXPECT_TRUE(calls(*gpu::make_chosen_products({entry}), kind_, work(), "CUTLASS run"));

  EXPECT_TRUE(calls(*gpu::make_chosen_products({}), kind_, work(), "cublasGemmEx"));
  gpu::MeasuredWay elsewhere = entry, other = entry;
  elsewhere.capability = "8.0";
  other.calls.rows *= 2;
  const auto without = gpu::make_chosen_products({elsewhere, other});
  EXPECT_TRUE(calls(*without, kind_, work(), "cublasGemmEx"));
  EXPECT_FALSE(calls(*without, kind_, work(), "CUTLASS run"));
  without->run(kind_, {}, nullptr);
}

TEST_F(WholeProducts, take_memory_once_for_each_way_that_the_table_names) {
  const auto bytes_of = [](const gpu::ProductTable& table) {
    const std::size_t before = emulation::free_device_bytes();
    const auto products = gpu::make_chosen_products(table);
    return before - emulation::free_device_bytes();
  };
  gpu::MeasuredWay entry{
      .capability = gpu::compute_capability(), .calls = {}, .way = ProductWay::kStreams};
  const std::size_t least = bytes_of({});
  EXPECT_EQ(bytes_of({entry}), least);
  entry.way = ProductWay::kBatched;
  const std::size_t batched = bytes_of({entry});
  EXPECT_GT(batched, least);
  gpu::MeasuredWay other = entry;
  other.calls.rows = 2;
  EXPECT_EQ(bytes_of({entry, other}), batched);
}

// Executed with plain loops: what a kernel reads is what was asked for.
TEST(PointerArguments, name_every_product_that_fits_and_leave_the_others) {
  const gpu::ProductKind kind{
      .form = Form::kAtB, .in = Number::kBFloat16, .out = Number::kFloat32, .adds = true};
  std::vector<ProductCase<BFloat16Bits, float>> cases;
  cases.emplace_back(Form::kAtB, ProductSize{16, 24, 5}, 8, 1);
  cases.emplace_back(Form::kAtB, ProductSize{16, 0, 5}, 8, 2);   // nothing to do
  cases.emplace_back(Form::kAtB, ProductSize{16, 24, 0}, 8, 3);  // nobody came
  cases.emplace_back(Form::kAtB, ProductSize{15, 24, 5}, 8, 4);  // rows of a do not fit
  cases.emplace_back(Form::kAtB, ProductSize{8, 40, 131}, 16, 5);
  std::vector<gpu::Product> asked, others;
  for (auto& one : cases) asked.push_back(one.product_here());
  gpu::ArgumentBlock block;
  block.pack(kind, asked, others);
  ASSERT_EQ(block.count(), 2);
  ASSERT_EQ(others.size(), 1U);
  EXPECT_EQ(others[0].rows, 15);

  // As an upload leaves it: a copy elsewhere.
  std::vector<std::uint64_t> copy((block.bytes().size() + 7) / 8);
  std::ranges::copy(block.bytes(), reinterpret_cast<std::byte*>(copy.data()));
  const gpu::PointerArguments all = block.arguments_at(copy.data());
  ASSERT_EQ(all.count, 2);
  for (std::int32_t i = 0; i < all.count; ++i) {
    const ProductCase<BFloat16Bits, float>& one = cases[i == 0 ? 0 : 4];
    const auto* a = static_cast<const BFloat16Bits*>(all.a[i]);
    const auto* b = static_cast<const BFloat16Bits*>(all.b[i]);
    const auto* c = static_cast<const float*>(all.c[i]);
    for (std::int64_t row = 0; row < all.shapes[i].rows; ++row) {
      for (std::int64_t column = 0; column < all.shapes[i].columns; ++column) {
        double sum = c[row * all.c_stride[i] + column];
        for (std::int64_t l = 0; l < all.shapes[i].depth; ++l) {
          sum += static_cast<double>(gpu::widened(a[l * all.a_stride[i] + row])) *
                 gpu::widened(b[l * all.b_stride[i] + column]);
        }
        ASSERT_DOUBLE_EQ(sum, one.expected(row, column, true));
      }
    }
  }
  EXPECT_EQ(all.shapes[0].depth, 5);
  EXPECT_EQ(all.shapes[1].columns, 40);
}

TEST(PointerArguments, fit_where_every_row_is_whole_pieces_of_16_bytes) {
  const auto* whole = reinterpret_cast<const std::byte*>(std::uintptr_t{1} << 20);
  const gpu::Product fits{.a = whole,
                          .b = whole,
                          .c = const_cast<std::byte*>(whole),
                          .rows = 5,
                          .columns = 24,
                          .depth = 16,
                          .a_stride = 16,
                          .b_stride = 24,
                          .c_stride = 24};
  const gpu::ProductKind kind{.form = Form::kAB};
  EXPECT_TRUE(fits_tensor_copies(kind, fits));
  const auto changed = [&](auto member, auto value) {
    gpu::Product product = fits;
    product.*member = value;
    return product;
  };
  using gpu::Product;
  EXPECT_FALSE(fits_tensor_copies(kind, changed(&Product::a, static_cast<const void*>(whole + 8))));
  EXPECT_FALSE(fits_tensor_copies(kind, changed(&Product::b, static_cast<const void*>(whole + 2))));
  EXPECT_FALSE(fits_tensor_copies(
      kind, changed(&Product::c, const_cast<void*>(static_cast<const void*>(whole + 4)))));
  EXPECT_FALSE(fits_tensor_copies(kind, changed(&Product::depth, 15)));
  EXPECT_FALSE(fits_tensor_copies(kind, changed(&Product::columns, 12)));
  EXPECT_FALSE(fits_tensor_copies(kind, changed(&Product::a_stride, 20)));
  EXPECT_FALSE(fits_tensor_copies(kind, changed(&Product::b_stride, 25)));
  EXPECT_FALSE(fits_tensor_copies(kind, changed(&Product::c_stride, 28)));
  EXPECT_FALSE(fits_tensor_copies(kind, changed(&Product::rows, std::int64_t{1} << 31)));
  // Four elements of fp32 are 16 bytes as well.
  const gpu::ProductKind to_fp32{.form = Form::kAB, .out = Number::kFloat32};
  EXPECT_TRUE(fits_tensor_copies(to_fp32, changed(&Product::c_stride, 28)));
}

}  // namespace
}  // namespace hetmoe::test
