// Selections of the emulated device as the host gets them, beside those of the CPU's router.
#include <gtest/gtest.h>

#include <limits>

#include "core/base/error.h"
#include "core/model/on_gpu/router.h"
#include "core/model/on_gpu/selected_experts.h"
#include "core/model/router.h"
#include "core/tensor/device.h"
#include "tests/support/gradient_check.h"

namespace hetmoe {
namespace {

RouterConfig top_k() { return {.kind = RouterKind::kTopK, .top_k = 3}; }
RouterConfig top_p() { return {.kind = RouterKind::kTopP, .top_p = 0.7}; }

TEST(GpuSelectedExperts, lists_are_those_of_the_cpu) {
  for (const RouterConfig& config : {top_k(), top_p()}) {
    for (const std::int64_t experts : {5, 32, 70}) {
      for (const std::int64_t tokens : {0, 1, 17}) {
        at::Tensor logits = test_values("logits", {tokens, experts}, 2).to(at::kFloat);
        if (tokens > 1) logits[1].fill_(std::numeric_limits<float>::quiet_NaN());
        const Routing expected = route(logits, config);
        const GpuRouting there = on_gpu::route(logits.to(gpu_device()), config, {});
        const on_gpu::SelectedExperts selected(there);
        gpu::wait_for(compute_stream());
        const Routing got = selected.routing();
        EXPECT_EQ(got.offset, expected.offset) << experts << " experts, " << tokens << " tokens";
        EXPECT_EQ(got.expert, expected.expert) << experts << " experts, " << tokens << " tokens";
        EXPECT_TRUE(got.probabilities.is_same(there.probabilities));
      }
    }
  }
}

TEST(GpuSelectedExperts, what_has_not_come_is_refused) {
  const at::Tensor logits = test_values("logits", {4, 5}).to(at::kFloat).to(gpu_device());
  const GpuRouting routing = on_gpu::route(logits, top_k(), {});
  // Asked whether it has come, the emulated device does one piece of work: the first of these.
  const on_gpu::SelectedExperts before(routing), selected(routing);
  EXPECT_THROW(selected.routing(), InternalError);
  gpu::wait_for(compute_stream());
  EXPECT_EQ(selected.routing().selections(), 12);
}

}  // namespace
}  // namespace hetmoe
