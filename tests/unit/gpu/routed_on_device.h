#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/kernels/gpu/router.h"
#include "tests/unit/gpu/device_array.h"

namespace hetmoe::test {

/// A routing as it comes back from the device.
struct HostRouting {
  std::int64_t tokens = 0;
  std::int64_t experts = 0;
  std::vector<float> probability;
  std::vector<std::uint32_t> mask;
  std::vector<std::int32_t> count, non_finite, offset, expert;
  std::vector<float> gate;

  float p(std::int64_t token, std::int64_t e) const {
    return probability[static_cast<std::size_t>(token * experts + e)];
  }
  std::vector<std::int32_t> experts_of(std::int64_t token) const {
    const auto t = static_cast<std::size_t>(token);
    return {expert.begin() + offset[t], expert.begin() + offset[t + 1]};
  }
};

/// Buffers for the routing of so many tokens, with room for every expert of each.
class RoutedOnDevice {
 public:
  RoutedOnDevice(std::int64_t tokens, std::int64_t experts)
      : tokens_(tokens),
        experts_(experts),
        probability_(size(tokens * experts)),
        mask_(size(tokens * gpu::mask_words(experts))),
        count_(size(tokens)),
        non_finite_(size(tokens)),
        offset_(std::vector<std::int32_t>(size(tokens) + 1, 0)),
        expert_(size(tokens * experts)),
        gate_(size(tokens * experts)) {}

  gpu::RoutedTokens get() const {
    return {.tokens = tokens_,
            .experts = experts_,
            .probability = probability_.get(),
            .mask = mask_.get(),
            .count = count_.get(),
            .non_finite = non_finite_.get(),
            .offset = offset_.get(),
            .expert = expert_.get(),
            .gate = gate_.get()};
  }

  void select(const std::vector<float>& logits, const gpu::RouteRule& rule) {
    const DeviceArray<float> in(logits);
    gpu::route_select(in.get(), rule, get(), nullptr);
    gpu::wait_for(nullptr);
  }

  /// Makes the offsets on the host, then the list.
  void list(bool renormalize) {
    std::vector<std::int32_t> offset(1, 0);
    for (const std::int32_t count : count_.values()) offset.push_back(offset.back() + count);
    offset_ = DeviceArray<std::int32_t>(offset);
    gpu::route_list(get(), renormalize, nullptr);
  }

  HostRouting values() const {
    HostRouting host{tokens_,          experts_,         probability_.values(),
                     mask_.values(),   count_.values(),  non_finite_.values(),
                     offset_.values(), expert_.values(), gate_.values()};
    const auto selections = static_cast<std::size_t>(host.offset.back());
    host.expert.resize(selections);
    host.gate.resize(selections);
    return host;
  }

 private:
  static std::size_t size(std::int64_t count) { return static_cast<std::size_t>(count); }

  std::int64_t tokens_, experts_;
  DeviceArray<float> probability_;
  DeviceArray<std::uint32_t> mask_;
  DeviceArray<std::int32_t> count_, non_finite_, offset_, expert_;
  DeviceArray<float> gate_;
};

inline HostRouting route_on_device(const std::vector<float>& logits, std::int64_t tokens,
                                   const gpu::RouteRule& rule, bool renormalize) {
  RoutedOnDevice routed(tokens, static_cast<std::int64_t>(logits.size()) / tokens);
  routed.select(logits, rule);
  routed.list(renormalize);
  return routed.values();
}

}  // namespace hetmoe::test
