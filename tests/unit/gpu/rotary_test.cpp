#include "core/kernels/gpu/rotary.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/unit/gpu/device_array.h"
#include "tests/unit/gpu/elements.h"

namespace hetmoe::test {
namespace {

using gpu::RotaryShape;

constexpr double kTheta = 10000;

// One row; odd halves; packs of both types, more than a block takes at once; packs of fp32 alone.
const std::vector<RotaryShape> kShapes = {
    {1, 1, 1, 1, 2}, {2, 5, 3, 1, 14}, {2, 3, 17, 17, 128}, {1, 7, 4, 2, 8}};

std::size_t row_width(const RotaryShape& shape) {
  return static_cast<std::size_t>((shape.num_heads + 2 * shape.num_kv_heads) * shape.head_dim);
}
std::size_t rows(const RotaryShape& shape) {
  return static_cast<std::size_t>(shape.sequences * shape.length);
}

struct HostTable {
  std::vector<float> cosine, sine;
  explicit HostTable(const RotaryShape& shape)
      : cosine(static_cast<std::size_t>(shape.length * shape.head_dim / 2)), sine(cosine.size()) {
    gpu::fill_rotary_table(shape, kTheta, cosine.data(), sine.data());
  }
};

/// One pair of elements that a rotation turns: where it lies in both layouts, and its angle.
struct Pair {
  std::size_t in_qkv;
  std::size_t in_heads;  ///< queries, keys and values one after another
  double angle;
};

std::vector<Pair> pairs_of(const RotaryShape& shape) {
  std::vector<Pair> pairs;
  const std::int64_t heads = shape.num_heads + 2 * shape.num_kv_heads;
  for (std::int64_t sequence = 0; sequence < shape.sequences; ++sequence) {
    for (std::int64_t position = 0; position < shape.length; ++position) {
      for (std::int64_t head = 0; head < heads; ++head) {
        // Heads of kinds before it, over all rows, and its place among its kind.
        const bool is_query = head < shape.num_heads;
        const bool is_value = head >= shape.num_heads + shape.num_kv_heads;
        const std::int64_t first =
            is_query ? 0 : (is_value ? shape.num_heads + shape.num_kv_heads : shape.num_heads);
        const std::int64_t kind = is_query ? shape.num_heads : shape.num_kv_heads;
        const std::int64_t row = sequence * shape.length + position;
        const std::int64_t apart =
            shape.sequences * shape.length * first + row * kind + head - first;
        for (std::int64_t i = 0; i < shape.head_dim / 2; ++i) {
          const double exponent =
              -2.0 * static_cast<double>(i) / static_cast<double>(shape.head_dim);
          pairs.push_back(
              {static_cast<std::size_t>(
                   ((sequence * shape.length + position) * heads + head) * shape.head_dim + i),
               static_cast<std::size_t>(apart * shape.head_dim + i),
               is_value ? 0 : static_cast<double>(position) * std::pow(kTheta, exponent)});
        }
      }
    }
  }
  return pairs;
}

template <typename T>
gpu::RotaryHeads<T> heads_in(T* begin, const RotaryShape& shape) {
  const std::int64_t head = shape.sequences * shape.length * shape.head_dim;
  T* key = begin + shape.num_heads * head;
  return {begin, key, key + shape.num_kv_heads * head};
}

template <typename T>
std::vector<T> split(const RotaryShape& shape, const std::vector<T>& values) {
  const HostTable table(shape);
  const DeviceArray<float> cosine(table.cosine), sine(table.sine);
  const DeviceArray<T> qkv(values), heads(values.size());
  gpu::split_and_rotate<T>(shape, {cosine.get(), sine.get()}, qkv.get(),
                           heads_in(heads.get(), shape), nullptr);
  return heads.values();
}

template <typename T>
std::vector<T> join(const RotaryShape& shape, const std::vector<T>& values) {
  const HostTable table(shape);
  const DeviceArray<float> cosine(table.cosine), sine(table.sine);
  const DeviceArray<T> heads(values), qkv(values.size());
  const T* begin = heads.get();
  gpu::rotate_back_and_join<T>(shape, {cosine.get(), sine.get()}, heads_in(begin, shape), qkv.get(),
                               nullptr);
  return qkv.values();
}

/// `to` is `from` turned by `angle`; half a head apart.
template <typename T>
void expect_turned(const std::vector<T>& from, std::size_t a, const std::vector<T>& to,
                   std::size_t b, double angle, std::size_t half) {
  const double low = real(from[a]), high = real(from[a + half]);
  const double bound = tolerance<T>() * (std::abs(low) + std::abs(high));
  ASSERT_NEAR(real(to[b]), low * std::cos(angle) - high * std::sin(angle), bound) << a;
  ASSERT_NEAR(real(to[b + half]), high * std::cos(angle) + low * std::sin(angle), bound) << a;
}

template <typename T>
void check(const RotaryShape& shape) {
  const auto half = static_cast<std::size_t>(shape.head_dim / 2);
  const auto values = random_elements<T>(rows(shape) * row_width(shape));
  const auto heads = same_in_any_turns([&] { return split(shape, values); });
  const auto qkv = same_in_any_turns([&] { return join(shape, values); });
  for (const Pair& pair : pairs_of(shape)) {
    expect_turned(values, pair.in_qkv, heads, pair.in_heads, pair.angle, half);
    expect_turned(values, pair.in_heads, qkv, pair.in_qkv, -pair.angle, half);
  }
}

TEST(GpuRotary, queries_and_keys_turn_by_their_position_and_values_do_not) {
  for (const RotaryShape& shape : kShapes) {
    check<float>(shape);
    check<gpu::BFloat16Bits>(shape);
  }
}

TEST(GpuRotary, angles_of_far_positions_are_exact) {
  const RotaryShape shape{1, 32769, 1, 0, 6};
  const HostTable table(shape);
  for (std::size_t i = 0; i < 3; ++i) {
    const double angle = 32768 * std::pow(kTheta, -2.0 * static_cast<double>(i) / 6);
    EXPECT_NEAR(table.cosine[32768 * 3 + i], std::cos(angle), 1e-7);
    EXPECT_NEAR(table.sine[32768 * 3 + i], std::sin(angle), 1e-7);
  }
}

TEST(GpuRotary, no_rows_launch_nothing) {
  const std::uint64_t before = launches_so_far();
  gpu::split_and_rotate<float>({0, 5, 1, 1, 8}, {}, nullptr, {}, nullptr);
  gpu::rotate_back_and_join<float>({0, 5, 1, 1, 8}, {}, {}, nullptr, nullptr);
  EXPECT_EQ(launches_so_far(), before);
}

}  // namespace
}  // namespace hetmoe::test
