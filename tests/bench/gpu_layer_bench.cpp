// A mixture layer on a GPU beside dense products of as many FLOPs, in bf16:
//   hetmoe_gpu_layer_bench CONFIG [TOKENS [ROUNDS [SIZE OF THE SQUARE PRODUCT]]]
//       [--product-table FILE]
// Prints one JSON line each for a square product, the dense products of a SwiGLU block over as many
// rows, as wide as the experts are on average, and the layer, whose experts are multiplied as the
// file says. Rounds alternate; times are the device's; medians.
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "core/base/error.h"
#include "core/base/median.h"
#include "core/tensor/device.h"
#include "parallel/communicator/local_communicator.h"
#include "runtime/trainer/compute_choice.h"
#include "tests/bench/device_stopwatch.h"
#include "tests/bench/one_layer.h"
#include "tests/bench/yardstick.h"

namespace hetmoe::bench {
namespace {

constexpr int kWarmUpRounds = 3;

struct Sizes {
  std::int64_t tokens = 16384;
  int rounds = 15;
  std::int64_t square = 8192;
};

struct Options {
  std::string config;
  Sizes sizes;
  std::string product_table;
};

/// Something that has a forward and a backward part, and what each has taken.
struct Timed {
  nlohmann::ordered_json about;
  double forward_flops = 0;
  std::function<void()> forward, backward;  ///< backward may be none
  std::vector<double> forward_seconds, backward_seconds, both_seconds;
};

/// `ahead` is not timed: while the GPU is busy with it, the host gets ahead, as in training.
void time_once(Timed& timed, const std::function<void()>& ahead, bool counts) {
  DeviceStopwatch watch;
  ahead();
  watch.mark(compute_stream());
  timed.forward();
  watch.mark(compute_stream());
  if (timed.backward) {
    timed.backward();
    watch.mark(compute_stream());
  }
  const std::vector<double> seconds = watch.seconds();
  if (!counts) return;
  timed.forward_seconds.push_back(seconds[0]);
  if (!timed.backward) return;
  timed.backward_seconds.push_back(seconds[1]);
  timed.both_seconds.push_back(seconds[0] + seconds[1]);
}

/// Rows repeat: drawing them takes the host longer than the GPU takes to multiply them.
at::Tensor random_on_gpu(const char* name, std::int64_t rows, std::int64_t columns) {
  constexpr std::int64_t kDrawn = 512;
  const at::Tensor some = normal(name, std::min(rows, kDrawn), columns, 0.02).to(at::kBFloat16);
  return some.to(gpu_device())
      .repeat({(rows + kDrawn - 1) / kDrawn, 1})
      .narrow(0, 0, rows)
      .contiguous();
}

Timed square_product(std::int64_t size) {
  const at::Tensor a = random_on_gpu("a", size, size), b = random_on_gpu("b", size, size);
  at::Tensor c = at::empty_like(a);
  return {.about = {{"case", "gpu square product"}, {"size", size}},
          .forward_flops = 2.0 * std::pow(static_cast<double>(size), 3),
          .forward = [=]() mutable { at::mm_out(c, a, b); }};
}

/// The products of a SwiGLU block, without what is between them.
Timed dense_products(std::int64_t rows, std::int64_t hidden, std::int64_t width) {
  const at::Tensor x = random_on_gpu("x", rows, hidden), dy = random_on_gpu("dy", rows, hidden);
  const at::Tensor gate_up = random_on_gpu("gate_up", 2 * width, hidden);
  const at::Tensor down = random_on_gpu("down", width, hidden);
  const at::Tensor h = random_on_gpu("h", rows, width);
  at::Tensor hidden_pair = random_on_gpu("hidden_pair", rows, 2 * width);
  at::Tensor y = at::empty_like(x), dx = at::empty_like(x), dh = at::empty_like(h);
  at::Tensor dgate_up = at::empty_like(gate_up), ddown = at::empty_like(down);
  return {.about = {{"case", "gpu dense products"},
                    {"rows", rows},
                    {"hidden_size", hidden},
                    {"width", width}},
          .forward_flops = 6.0 * static_cast<double>(rows * hidden * width),
          .forward =
              [=]() mutable {
                at::mm_out(hidden_pair, x, gate_up.t());
                at::mm_out(y, h, down);
              },
          .backward =
              [=]() mutable {
                at::mm_out(dh, dy, down.t());
                at::mm_out(ddown, h.t(), dy);
                at::mm_out(dx, hidden_pair, gate_up);
                at::mm_out(dgate_up, hidden_pair.t(), x);
              }};
}

Timed mixture(OneLayer& layer, const ModelConfig& config, const Sizes& sizes) {
  return {.about = {{"case", "gpu mixture layer"},
                    {"tokens", sizes.tokens},
                    {"hidden_size", config.hidden_size},
                    {"widths", expert_widths(config.experts)},
                    {"selected", layer.selected()}},
          .forward_flops = layer.forward_flops(),
          .forward = [&layer] { layer.forward(); },
          .backward = [&layer] { layer.backward(); }};
}

/// Median rates of `timed`, and their shares of those of `dense` and of the square product.
nlohmann::ordered_json figures(const std::vector<double>& seconds, double flops, double dense_rate,
                               double square_rate) {
  const double rate = flops / median(seconds);
  nlohmann::ordered_json part = {{"median_seconds", median(seconds)},
                                 {"lowest_seconds", std::ranges::min(seconds)},
                                 {"highest_seconds", std::ranges::max(seconds)},
                                 {"flops_per_second", rate},
                                 {"share_of_square", rate / square_rate}};
  if (dense_rate > 0) part["share_of_dense"] = rate / dense_rate;
  return part;
}

struct Run {
  std::string device;
  bool has_table;
};

void print(const Timed& timed, const Timed* dense, double square_rate, const Run& run) {
  nlohmann::ordered_json line = timed.about;
  line["device"] = run.device;
  line["product_table"] = run.has_table;
  line["type"] = "bf16";
  const auto add = [&](const char* part, std::vector<double> Timed::*seconds, double passes) {
    if ((timed.*seconds).empty()) return;
    const double dense_rate =
        dense != nullptr ? passes * dense->forward_flops / median(dense->*seconds) : 0;
    line[part] = figures(timed.*seconds, passes * timed.forward_flops, dense_rate, square_rate);
  };
  add("forward", &Timed::forward_seconds, 1);
  add("backward", &Timed::backward_seconds, 2);
  add("forward_and_backward", &Timed::both_seconds, 3);
  std::cout << line.dump() << std::endl;
}

/// Rows and a common width of as many FLOPs as the selected experts take.
Timed dense_twin(const ModelConfig& config, const std::vector<double>& selected) {
  const auto widths = expert_widths(config.experts);
  double rows = 0, units = 0;
  for (std::size_t e = 0; e < selected.size(); ++e) {
    rows += selected[e];
    units += selected[e] * static_cast<double>(widths[e]);
  }
  const auto width = static_cast<std::int64_t>(std::llround(units / rows / 8)) * 8;
  return dense_products(static_cast<std::int64_t>(rows), config.hidden_size,
                        std::max<std::int64_t>(8, width));
}

void bench(const Options& options) {
  const Sizes& sizes = options.sizes;
  const RunConfig config =
      load_run_config(options.config, {"parallel.device=cuda", "train.precision=bf16",
                                       "data.train=random", "evaluate.every_steps=0"});
  LocalWorld world(1);
  const auto control = world.communicator(0);
  const SystemClock clock;
  const Run run{.device = choose_compute(config, *control, clock).device.name,
                .has_table = !options.product_table.empty()};
  OneLayer layer(
      config.model, sizes.tokens, at::kBFloat16, gpu_device(),
      run.has_table ? gpu::read_product_table(options.product_table) : gpu::ProductTable{});
  Timed square = square_product(sizes.square);
  Timed dense = dense_twin(config.model, layer.selected());
  Timed mixed = mixture(layer, config.model, sizes);
  for (int round = -kWarmUpRounds; round < sizes.rounds; ++round) {
    for (Timed* timed : {&square, &dense, &mixed}) time_once(*timed, square.forward, round >= 0);
  }
  const double square_rate = square.forward_flops / median(square.forward_seconds);
  print(square, nullptr, square_rate, run);
  print(dense, nullptr, square_rate, run);
  print(mixed, &dense, square_rate, run);
}

}  // namespace
}  // namespace hetmoe::bench

int main(int argc, char** argv) {
  using namespace hetmoe;
  bench::Options options;
  CLI::App app("Times a mixture layer on this GPU beside dense products");
  app.add_option("CONFIG", options.config)->required()->check(CLI::ExistingFile);
  app.add_option("TOKENS", options.sizes.tokens)->check(CLI::Range(1, 1 << 24));
  app.add_option("ROUNDS", options.sizes.rounds)->check(CLI::Range(1, 10000));
  app.add_option("SIZE", options.sizes.square, "Of the square product")
      ->check(CLI::Range(1, 1 << 16));
  app.add_option("--product-table", options.product_table, "As parallel.product_table");
  CLI11_PARSE(app, argc, argv);
  try {
    bench::bench(options);
  } catch (const std::exception& error) {
    std::cerr << "hetmoe_gpu_layer_bench: " << describe(error) << '\n';
    return 1;
  }
  return 0;
}
