#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <type_traits>
#include <vector>

#include "core/gpu/bfloat16_bits.h"
#include "core/kernels/gpu/grouped_products.h"
#include "tests/unit/gpu/device_array.h"

namespace hetmoe::test {

struct ProductSize {
  std::int64_t rows, columns, depth;
};

template <typename T>
constexpr gpu::Number kNumber =
    std::is_same_v<T, float> ? gpu::Number::kFloat32 : gpu::Number::kBFloat16;

/// How far a result may be off: a share of it, for its own rounding, and a share of the sum of the
/// absolute terms, for theirs.
struct AllowedDifference {
  double of_sum, of_terms;
};

/// Tensor cores cut off what they add of bf16; fp32 is added as it is.
template <typename In, typename Out>
constexpr AllowedDifference kAllowed = {.of_sum = std::is_same_v<Out, float> ? 0 : 8e-3,
                                        .of_terms = std::is_same_v<In, float> ? 1e-5 : 1e-4};

/// One product of random numbers, in rows that are longer in memory than in the matrix by
/// `padding` elements, and what it must give.
template <typename In, typename Out>
class ProductCase {
 public:
  ProductCase(gpu::Form form, ProductSize size, std::int64_t padding, int seed)
      : form_(form), size_(size), c_stride_(size.columns + padding) {
    std::mt19937 random(static_cast<unsigned>(seed));
    std::normal_distribution<float> normal;
    const auto fill = [&](auto& values, std::int64_t rows, std::int64_t stride) {
      values.resize(static_cast<std::size_t>(rows * stride));
      for (auto& value : values) store(value, normal(random));
      return stride;
    };
    const bool a_is_turned = form == gpu::Form::kAtB, b_is_turned = form == gpu::Form::kABt;
    a_stride_ = fill(a_, a_is_turned ? size.depth : size.rows,
                     padding + (a_is_turned ? size.rows : size.depth));
    b_stride_ = fill(b_, b_is_turned ? size.columns : size.depth,
                     padding + (b_is_turned ? size.depth : size.columns));
    fill(c_, size.rows, c_stride_);
    there_ = std::make_unique<There>(There{DeviceArray(a_), DeviceArray(b_), DeviceArray(c_)});
  }

  gpu::Product product() const {
    return {.a = there_->a.get(),
            .b = there_->b.get(),
            .c = there_->c.get(),
            .rows = size_.rows,
            .columns = size_.columns,
            .depth = size_.depth,
            .a_stride = a_stride_,
            .b_stride = b_stride_,
            .c_stride = c_stride_};
  }

  /// The same memory as the host sees it, for loops over prepared arguments.
  gpu::Product product_here() {
    gpu::Product here = product();
    here.a = a_.data();
    here.b = b_.data();
    here.c = c_.data();
    return here;
  }

  void check(bool adds) const {
    constexpr AllowedDifference allowed = kAllowed<In, Out>;
    const std::vector<Out> got = there_->c.values();
    for (std::int64_t i = 0; i < size_.rows; ++i) {
      for (std::int64_t j = 0; j < c_stride_; ++j) {
        const auto at = static_cast<std::size_t>(i * c_stride_ + j);
        if (j >= size_.columns) {
          ASSERT_EQ(value(got[at]), value(c_[at])) << "written beside the matrix";
          continue;
        }
        const auto [sum, terms] = sums(i, j, adds);
        ASSERT_NEAR(value(got[at]), sum, allowed.of_sum * std::abs(sum) + allowed.of_terms * terms)
            << i << "," << j;
      }
    }
  }

  /// In double, from the values before.
  double expected(std::int64_t i, std::int64_t j, bool adds) const { return sums(i, j, adds).sum; }

  /// As they lie in memory, padding included.
  std::vector<double> results() const {
    std::vector<double> wide;
    for (const Out number : there_->c.values()) wide.push_back(value(number));
    return wide;
  }

 private:
  struct There {
    DeviceArray<In> a, b;
    DeviceArray<Out> c;
  };

  struct Sums {
    double sum, of_absolutes;
  };
  Sums sums(std::int64_t i, std::int64_t j, bool adds) const {
    const double before = adds ? value(c_[static_cast<std::size_t>(i * c_stride_ + j)]) : 0;
    Sums sums{before, std::abs(before)};
    for (std::int64_t l = 0; l < size_.depth; ++l) {
      const double term = value(a_[a_place(i, l)]) * value(b_[b_place(l, j)]);
      sums.sum += term;
      sums.of_absolutes += std::abs(term);
    }
    return sums;
  }

  static void store(float& target, float value) { target = value; }
  static void store(gpu::BFloat16Bits& target, float value) { target = gpu::narrowed(value); }
  static double value(float number) { return number; }
  static double value(gpu::BFloat16Bits number) { return gpu::widened(number); }
  std::size_t a_place(std::int64_t i, std::int64_t l) const {
    return static_cast<std::size_t>(form_ == gpu::Form::kAtB ? l * a_stride_ + i
                                                             : i * a_stride_ + l);
  }
  std::size_t b_place(std::int64_t l, std::int64_t j) const {
    return static_cast<std::size_t>(form_ == gpu::Form::kABt ? j * b_stride_ + l
                                                             : l * b_stride_ + j);
  }

  gpu::Form form_;
  ProductSize size_;
  std::int64_t a_stride_ = 0, b_stride_ = 0, c_stride_;
  std::vector<In> a_, b_;
  std::vector<Out> c_;
  std::unique_ptr<There> there_;
};

}  // namespace hetmoe::test
