#include "tests/bench/product_timing.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "core/base/median.h"
#include "core/gpu/bfloat16_bits.h"
#include "core/gpu/stream.h"
#include "tests/bench/device_stopwatch.h"

namespace hetmoe::bench {
namespace {

using gpu::BFloat16Bits;

// Random numbers are dear: so many, over and over. Prime, so that no two rows are alike.
constexpr std::size_t kDrawn = 1'048'573;

std::size_t element_bytes(gpu::Number number) { return number == gpu::Number::kFloat32 ? 4 : 2; }

float element_at(gpu::Number number, const std::vector<std::byte>& bytes, std::size_t element) {
  if (number == gpu::Number::kFloat32) {
    float value = 0;
    std::memcpy(&value, &bytes[element * sizeof value], sizeof value);
    return value;
  }
  BFloat16Bits narrow;
  std::memcpy(&narrow, &bytes[element * sizeof narrow], sizeof narrow);
  return gpu::widened(narrow);
}

std::vector<std::byte> random_elements(gpu::Number number, std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 0.5F);
  std::vector<std::byte> bytes(count * element_bytes(number));
  for (std::size_t i = 0; i < count; ++i) {
    const float value = normal(random);
    const BFloat16Bits narrow = gpu::narrowed(value);
    const bool is_wide = number == gpu::Number::kFloat32;
    std::memcpy(&bytes[i * element_bytes(number)],
                is_wide ? static_cast<const void*>(&value) : &narrow, element_bytes(number));
  }
  return bytes;
}

gpu::DeviceMemory filled(gpu::Number number, std::size_t count, unsigned seed) {
  gpu::DeviceMemory memory(count * element_bytes(number));
  auto* begin = static_cast<std::byte*>(memory.get());
  const std::vector<std::byte> drawn = random_elements(number, std::min(count, kDrawn), seed);
  gpu::copy_to_device(begin, drawn.data(), drawn.size(), nullptr);
  for (std::size_t done = drawn.size(); done < memory.size_bytes(); done *= 2) {
    gpu::copy_on_device(begin + done, begin, std::min(done, memory.size_bytes() - done), nullptr);
  }
  gpu::wait_for(nullptr);
  return memory;
}

}  // namespace

CallMemory::CallMemory(const ProductCall& call) : kind_(call.kind) {
  std::size_t a = 0, b = 0, c = 0;
  for (const ProductSize& size : call.sizes) {
    a += static_cast<std::size_t>(size.rows * size.depth);
    b += static_cast<std::size_t>(size.columns * size.depth);
    c += static_cast<std::size_t>(size.rows * size.columns);
  }
  const std::size_t in = element_bytes(kind_.in), out = element_bytes(kind_.out);
  a_ = filled(kind_.in, a, 1);
  b_ = filled(kind_.in, b, 2);
  first_results_ = filled(kind_.out, c, 3);
  c_ = gpu::DeviceMemory(c * out);
  restore_results();

  auto* next_a = static_cast<std::byte*>(a_.get());
  auto* next_b = static_cast<std::byte*>(b_.get());
  auto* next_c = static_cast<std::byte*>(c_.get());
  for (const ProductSize& size : call.sizes) {
    products_.push_back({.a = next_a,
                         .b = next_b,
                         .c = next_c,
                         .rows = size.rows,
                         .columns = size.columns,
                         .depth = size.depth,
                         .a_stride = kind_.form == gpu::Form::kAtB ? size.rows : size.depth,
                         .b_stride = kind_.form == gpu::Form::kABt ? size.depth : size.columns,
                         .c_stride = size.columns});
    next_a += static_cast<std::size_t>(size.rows * size.depth) * in;
    next_b += static_cast<std::size_t>(size.columns * size.depth) * in;
    next_c += static_cast<std::size_t>(size.rows * size.columns) * out;
  }
}

void CallMemory::restore_results() {
  gpu::copy_on_device(c_.get(), first_results_.get(), c_.size_bytes(), nullptr);
}

std::vector<std::byte> CallMemory::results() const {
  std::vector<std::byte> bytes(c_.size_bytes());
  gpu::copy_to_host(bytes.data(), c_.get(), bytes.size(), nullptr);
  gpu::wait_for(nullptr);
  return bytes;
}

double relative_difference(gpu::Number number, const std::vector<std::byte>& values,
                           const std::vector<std::byte>& reference) {
  double difference = 0, largest = 0;
  for (std::size_t i = 0; i < reference.size() / element_bytes(number); ++i) {
    const double value = element_at(number, values, i), wanted = element_at(number, reference, i);
    if (!std::isfinite(value) || !std::isfinite(wanted)) {
      return std::numeric_limits<double>::infinity();
    }
    difference = std::max(difference, std::abs(value - wanted));
    largest = std::max(largest, std::abs(wanted));
  }
  return largest > 0 ? difference / largest : std::numeric_limits<double>::infinity();
}

std::vector<double> time_on_device(const std::vector<TimedCall>& calls, int rounds, int repeats) {
  DeviceStopwatch watch;
  std::vector<std::vector<double>> seconds(calls.size());
  for (int round = -1; round < rounds; ++round) {
    for (std::size_t i = 0; i < calls.size(); ++i) {
      watch.mark(nullptr);
      for (int repeat = 0; repeat < repeats; ++repeat) {
        calls[i].products->run(*calls[i].kind, calls[i].work, nullptr);
      }
      watch.mark(nullptr);
      const double elapsed = watch.seconds().front() / repeats;
      if (round >= 0) seconds[i].push_back(elapsed);
    }
  }
  std::vector<double> medians;
  for (const auto& of_call : seconds) medians.push_back(median(of_call));
  return medians;
}

}  // namespace hetmoe::bench
