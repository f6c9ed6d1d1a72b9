#include "core/kernels/gpu/grouped_products.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <vector>

#include "core/gpu/bfloat16_bits.h"
#include "core/gpu/device_error.h"
#include "cublas_v2.h"
#include "tests/emulation/streams.h"
#include "tests/unit/gpu/device_array.h"

namespace hetmoe::test {
namespace {

using gpu::BFloat16Bits;
using gpu::Form;
using gpu::Number;

struct Size {
  std::int64_t rows, columns, depth;
};

/// One product with rows that are longer in memory than in the matrix.
template <typename In, typename Out>
class Case {
 public:
  Case(Form form, Size size, int seed) : form_(form), size_(size) {
    std::mt19937 random(static_cast<unsigned>(seed));
    std::normal_distribution<float> normal;
    const auto fill = [&](std::vector<In>& values, std::int64_t rows, std::int64_t columns) {
      values.resize(static_cast<std::size_t>(rows * (columns + 3)));
      for (In& value : values) store(value, normal(random));
      return columns + 3;
    };
    const bool transposed = form == Form::kAtB;
    a_stride_ = fill(a_, transposed ? size.depth : size.rows, transposed ? size.rows : size.depth);
    const bool rows_are_columns = form == Form::kABt;
    b_stride_ = fill(b_, rows_are_columns ? size.columns : size.depth,
                     rows_are_columns ? size.depth : size.columns);
    c_.resize(static_cast<std::size_t>(size.rows * (size.columns + 1)));
    for (Out& value : c_) store(value, normal(random));
    on_device_.emplace_back(a_);
    b_on_device_.emplace_back(b_);
    c_on_device_.emplace_back(c_);
  }

  gpu::Product product() const {
    return {.a = on_device_[0].get(),
            .b = b_on_device_[0].get(),
            .c = c_on_device_[0].get(),
            .rows = size_.rows,
            .columns = size_.columns,
            .depth = size_.depth,
            .a_stride = a_stride_,
            .b_stride = b_stride_,
            .c_stride = size_.columns + 1};
  }

  void check(bool adds, double tolerance) const {
    const std::vector<Out> got = c_on_device_[0].values();
    for (std::int64_t i = 0; i < size_.rows; ++i) {
      for (std::int64_t j = 0; j < size_.columns; ++j) {
        const auto at = static_cast<std::size_t>(i * (size_.columns + 1) + j);
        double sum = adds ? value(c_[at]) : 0;
        for (std::int64_t l = 0; l < size_.depth; ++l)
          sum += value(a_[a_place(i, l)]) * value(b_[b_place(l, j)]);
        ASSERT_NEAR(value(got[at]), sum, tolerance * (1 + std::abs(sum))) << i << "," << j;
      }
      const auto beside = static_cast<std::size_t>(i * (size_.columns + 1) + size_.columns);
      ASSERT_EQ(value(got[beside]), value(c_[beside])) << "written beside the matrix";
    }
  }

 private:
  static void store(float& target, float value) { target = value; }
  static void store(BFloat16Bits& target, float value) { target = gpu::narrowed(value); }
  static double value(float number) { return number; }
  static double value(BFloat16Bits number) { return gpu::widened(number); }
  std::size_t a_place(std::int64_t i, std::int64_t l) const {
    return static_cast<std::size_t>(form_ == Form::kAtB ? l * a_stride_ + i : i * a_stride_ + l);
  }
  std::size_t b_place(std::int64_t l, std::int64_t j) const {
    return static_cast<std::size_t>(form_ == Form::kABt ? j * b_stride_ + l : l * b_stride_ + j);
  }

  Form form_;
  Size size_;
  std::int64_t a_stride_ = 0, b_stride_ = 0;
  std::vector<In> a_, b_;
  std::vector<Out> c_;
  std::vector<DeviceArray<In>> on_device_, b_on_device_;
  std::vector<DeviceArray<Out>> c_on_device_;
};

const std::vector<Size> kUnequal = {{5, 7, 9}, {0, 7, 9}, {1, 33, 8}, {16, 2, 40}, {3, 0, 4}};

template <typename In, typename Out>
void check_all(gpu::GroupedProducts& products, Number in, Number out, double tolerance) {
  for (const Form form : {Form::kABt, Form::kAB, Form::kAtB}) {
    for (const bool adds : {false, true}) {
      for (const std::size_t count : {std::size_t{0}, std::size_t{1}, kUnequal.size()}) {
        std::vector<Case<In, Out>> cases;
        std::vector<gpu::Product> work;
        for (std::size_t i = 0; i < count; ++i) {
          cases.emplace_back(form, kUnequal[i], static_cast<int>(i));
          work.push_back(cases.back().product());
        }
        if (adds && count > 1) {
          cases.emplace_back(form, Size{4, 4, 0}, 1);  // nobody came to this slice
          work.push_back(cases.back().product());
        }
        products.run({.form = form, .in = in, .out = out, .adds = adds}, work, nullptr);
        for (const auto& one : cases) ASSERT_NO_FATAL_FAILURE(one.check(adds, tolerance));
      }
    }
  }
}

void check_every_kind(gpu::GroupedProducts& products) {
  check_all<float, float>(products, Number::kFloat32, Number::kFloat32, 1e-6);
  check_all<BFloat16Bits, BFloat16Bits>(products, Number::kBFloat16, Number::kBFloat16, 5e-3);
  check_all<BFloat16Bits, float>(products, Number::kBFloat16, Number::kFloat32, 1e-6);
}

TEST(GroupedProducts, on_several_streams_are_the_plain_loops) {
  for (const int streams : {1, 3}) check_every_kind(*gpu::make_stream_products(streams));
}

TEST(GroupedProducts, in_one_call_are_the_plain_loops) {
  check_every_kind(*gpu::make_batched_products());
}

TEST(GroupedProducts, the_host_never_waits) {
  const Case<float, float> one(Form::kAB, {5, 7, 9}, 1), other(Form::kAB, {3, 7, 9}, 2);
  const std::vector<gpu::Product> work = {one.product(), other.product()};
  for (const auto& products : {gpu::make_stream_products(2), gpu::make_batched_products()}) {
    for (int i = 0; i < 3; ++i) {
      const auto before = emulation::observed().host_waits;
      products->run({.form = Form::kAB, .in = Number::kFloat32, .out = Number::kFloat32}, work,
                    nullptr);
      EXPECT_EQ(emulation::observed().host_waits, before);
    }
  }
}

TEST(GroupedProducts, a_failed_call_is_told_with_its_name) {
  const Case<float, float> one(Form::kAB, {5, 7, 9}, 1);
  const std::vector<gpu::Product> work = {one.product()};
  emulation::fail_next("cublasGemmEx", CUBLAS_STATUS_EXECUTION_FAILED);
  try {
    gpu::make_stream_products(1)->run(
        {.form = Form::kAB, .in = Number::kFloat32, .out = Number::kFloat32}, work, nullptr);
    FAIL() << "the call had failed";
  } catch (const gpu::DeviceError& error) {
    EXPECT_STREQ(error.what(), "cublasGemmEx: CUBLAS_STATUS_EXECUTION_FAILED");
  }
}

}  // namespace
}  // namespace hetmoe::test
