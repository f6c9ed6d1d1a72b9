#include "parallel/communicator/rank_order_reduction.h"

#include <algorithm>
#include <array>
#include <type_traits>

#include "core/base/check.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kBlock = 1024;  // elements summed at once: stays in the first-level cache

template <typename T>
T sum_of(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    using Unsigned = std::make_unsigned_t<T>;  // signed overflow is undefined
    return static_cast<T>(static_cast<Unsigned>(a) + static_cast<Unsigned>(b));
  } else {
    return a + b;
  }
}

template <typename T>
void fold(Reduction reduction, T* total, const T* next, std::int64_t count) {
  switch (reduction) {
    case Reduction::kSum:
      for (std::int64_t i = 0; i < count; ++i) total[i] = sum_of(total[i], next[i]);
      break;
    case Reduction::kMin:  // x != x: a NaN wins
      for (std::int64_t i = 0; i < count; ++i)
        total[i] = next[i] < total[i] || next[i] != next[i] ? next[i] : total[i];
      break;
    case Reduction::kMax:
      for (std::int64_t i = 0; i < count; ++i)
        total[i] = next[i] > total[i] || next[i] != next[i] ? next[i] : total[i];
      break;
  }
}

template <typename T>
void reduce(Reduction reduction, std::span<const void* const> sources, void* destination,
            std::int64_t count) {
  std::array<T, kBlock> total;  // a copy, since the destination may be a later source
  for (std::int64_t begin = 0; begin < count; begin += kBlock) {
    const std::int64_t block = std::min(kBlock, count - begin);
    std::copy_n(static_cast<const T*>(sources[0]) + begin, block, total.data());
    for (const void* source : sources.subspan(1))
      fold(reduction, total.data(), static_cast<const T*>(source) + begin, block);
    std::copy_n(total.data(), block, static_cast<T*>(destination) + begin);
  }
}

}  // namespace

void reduce_in_rank_order(DataType type, Reduction reduction, std::span<const void* const> sources,
                          void* destination, std::int64_t count) {
  HETMOE_CHECK(!sources.empty(), "nothing to reduce");
  switch (type) {
    case DataType::kFloat32:
      return reduce<float>(reduction, sources, destination, count);
    case DataType::kFloat64:
      return reduce<double>(reduction, sources, destination, count);
    case DataType::kInt64:
      return reduce<std::int64_t>(reduction, sources, destination, count);
    default:
      HETMOE_CHECK(false, "no reduction for type ", static_cast<int>(type));
  }
}

}  // namespace hetmoe
