// Expert layer with router, permutation and gates, forward and backward, beside the yardstick.
#include <ATen/Parallel.h>

#include <cstdlib>
#include <iostream>
#include <string>

#include "runtime/trainer/process_memory.h"
#include "tests/bench/harness.h"
#include "tests/bench/one_layer.h"
#include "tests/bench/yardstick.h"

namespace hetmoe::bench {
namespace {

/// Top-2 of 8 experts.
OneLayer layer_of(std::int64_t hidden_size, std::int64_t mean_width, at::ScalarType type) {
  ModelConfig config;
  config.hidden_size = hidden_size;
  config.vocab_size = 64;
  config.experts.mean_width = mean_width;
  return {config, 4096, type, at::kCPU};
}

Case case_of(const char* name, const std::string& suffix, OneLayer& layer) {
  return {name + suffix, 3 * layer.forward_flops(), [&] {
            layer.forward();
            layer.backward();
          }};
}

void bench_type(at::ScalarType type, const std::string& suffix, int threads) {
  OneLayer wide = layer_of(768, 1536, type);
  OneLayer narrow = layer_of(256, 512, type);
  const auto timings = time_alternating(
      {yardstick(type), case_of("layer D=768 widths 864..2208 T=4096 ", suffix, wide),
       case_of("layer D=256 widths 288..736 T=4096 ", suffix, narrow)},
      9);
  for (const Timing& timing : timings) {
    std::cout << json_line(timing, timings[0].flops_per_second(), threads) << std::endl;
  }
}

}  // namespace
}  // namespace hetmoe::bench

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  hetmoe::keep_freed_memory();
  at::set_num_threads(threads);
  hetmoe::bench::bench_type(at::kBFloat16, "bf16", threads);
  if (argc <= 2) hetmoe::bench::bench_type(at::kFloat, "fp32", threads);
  return 0;
}
