// Times every way of multiplying a layer's experts on this GPU, beside one dense product of the
// same FLOPs, and writes the table that parallel.product_table takes.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/error.h"
#include "core/files/atomic_file.h"
#include "core/kernels/gpu/chosen_products.h"
#include "core/kernels/gpu/device_share.h"
#include "tests/bench/product_timing.h"
#include "tests/bench/way_times.h"

namespace hetmoe::bench {
namespace {

using gpu::ProductWay;

struct Options {
  std::vector<std::string> configs = {"configs/hmoe_0.4b_top_k.yaml", "configs/hmoe_3b_top_k.yaml"};
  std::vector<std::int64_t> tokens = {2048, 4096, 8192, 16384, 32768};
  std::vector<int> held = {8, 4, 2};
  int rounds = 11;
  int repeats = 10;
  int reserve = 0;
  std::string write;
};

class Measurement {
 public:
  explicit Measurement(const Options& options) : options_(options) {
    const std::shared_ptr streams = gpu::make_stream_products(4, options.reserve);
    for (const ProductWay way : kWays) {
      ways_.push_back(gpu::make_products(way, streams, options.reserve));
    }
  }

  void measure(const std::string& model, std::int64_t tokens, const ProductCall& call) {
    CallMemory memory(call);
    const ProductCall dense = dense_call_like(call);
    CallMemory dense_memory(dense);
    const std::vector<std::size_t> ways = ways_that_take(call, memory);
    const std::vector<double> differences = differences_of(ways, call, memory);
    std::vector<TimedCall> timed;
    for (const std::size_t way : ways) {
      timed.push_back({ways_[way].get(), &call.kind, memory.products()});
    }
    timed.push_back({dense_.get(), &dense.kind, dense_memory.products()});
    const std::vector<double> seconds = time_on_device(timed, options_.rounds, options_.repeats);
    const gpu::ProductClass calls = gpu::class_of(call.kind, memory.products());
    WayTimes& times = times_[calls];
    for (std::size_t i = 0; i < ways.size(); ++i) {
      times.add(ways[i], seconds[i], differences[i] <= allowed_difference(call.kind));
      print({.model = model,
             .tokens = tokens,
             .call = call,
             .calls = calls,
             .way = kWays[ways[i]],
             .seconds = seconds[i],
             .difference = differences[i],
             .dense_rate = dense.flops() / seconds.back()});
    }
  }

  gpu::ProductTable table() const {
    gpu::ProductTable table;
    for (const auto& [calls, times] : times_) {
      table.push_back({.capability = capability_, .calls = calls, .way = times.fastest()});
    }
    return table;
  }

 private:
  struct Line {
    const std::string& model;
    std::int64_t tokens;
    const ProductCall& call;
    const gpu::ProductClass& calls;
    ProductWay way;
    double seconds, difference, dense_rate;
  };

  /// Numbers in kWays: the others would measure the streams once more.
  std::vector<std::size_t> ways_that_take(const ProductCall& call, const CallMemory& memory) const {
    std::vector<std::size_t> ways;
    for (std::size_t i = 0; i < kWays.size(); ++i) {
      if (ways_[i]->takes(call.kind, memory.products())) ways.push_back(i);
    }
    return ways;
  }

  /// Of each way's result from that of the streams, which come first.
  std::vector<double> differences_of(const std::vector<std::size_t>& ways, const ProductCall& call,
                                     CallMemory& memory) {
    std::vector<double> differences;
    std::vector<std::byte> reference;
    for (const std::size_t way : ways) {
      memory.restore_results();
      ways_[way]->run(call.kind, memory.products(), nullptr);
      const std::vector<std::byte> results = memory.results();
      if (reference.empty()) reference = results;
      differences.push_back(relative_difference(call.kind.out, results, reference));
    }
    return differences;
  }

  void print(const Line& line) const {
    const gpu::ProductClass& calls = line.calls;
    const double rate = line.call.flops() / line.seconds;
    const auto word = [](auto value) { return enum_words(value)[static_cast<std::size_t>(value)]; };
    nlohmann::ordered_json json = {
        {"case", "products"},
        {"device", device_},
        {"capability", capability_},
        {"reserve", options_.reserve},
        {"model", line.model},
        {"tokens", line.tokens},
        {"call", line.call.name},
        {"form", word(calls.form)},
        {"in", word(calls.in)},
        {"out", word(calls.out)},
        {"adds", calls.adds},
        {"products", calls.products},
        {"rows", calls.rows},
        {"columns", calls.columns},
        {"depth", calls.depth},
        {"way", word(line.way)},
        {"median_seconds", line.seconds},
        {"tflops_per_second", rate / 1e12},
        {"dense_tflops_per_second", line.dense_rate / 1e12},
        {"share_of_dense", rate / line.dense_rate},
        {"relative_difference", line.difference},
        {"is_right", line.difference <= allowed_difference(line.call.kind)}};
    std::cout << json.dump() << std::endl;
  }

  const Options& options_;
  const std::string capability_ = gpu::compute_capability();
  const std::string device_ = gpu::device_here().name;
  std::vector<std::shared_ptr<gpu::GroupedProducts>> ways_;
  std::unique_ptr<gpu::GroupedProducts> dense_ = gpu::make_stream_products(1);
  std::map<gpu::ProductClass, WayTimes> times_;
};

void measure_all(const Options& options) {
  Measurement measurement(options);
  for (const std::string& path : options.configs) {
    const ModelConfig model = load_run_config(path, {}).model;
    const std::string name = std::filesystem::path(path).stem().string();
    for (const std::int64_t tokens : options.tokens) {
      for (const int held : options.held) {
        if (held > model.experts.count) continue;
        for (const ProductCall& call : calls_of_layer(model, tokens, held)) {
          measurement.measure(name, tokens, call);
        }
      }
    }
  }
  if (options.write.empty()) return;
  write_file_atomically(options.write, gpu::product_table_text(measurement.table()));
  gpu::read_product_table(options.write);
}

int run(int count, char** arguments) {
  Options options;
  CLI::App app("Times grouped products on this GPU: one JSON line per call and way");
  app.add_option("CONFIG", options.configs, "Models to take shapes from")->check(CLI::ExistingFile);
  app.add_option("--tokens", options.tokens, "Tokens that a rank gets per microbatch")
      ->delimiter(',')
      ->check(CLI::Range(1, 1 << 24));
  app.add_option("--held", options.held, "Experts that a rank holds")
      ->delimiter(',')
      ->check(CLI::Range(1, 1 << 16));
  app.add_option("--rounds", options.rounds, "The median is over these")
      ->check(CLI::Range(1, 10000));
  app.add_option("--repeats", options.repeats, "Runs in one timing")->check(CLI::Range(1, 10000));
  app.add_option("--reserve", options.reserve, "Multiprocessors to leave to others, even")
      ->check(CLI::Range(0, 1024))
      ->check([](const std::string& text) {
        return std::stoi(text) % 2 == 0 ? "" : "value " + text + ", allowed: even numbers";
      });
  app.add_option("--write", options.write, "File for the table of the fastest ways");
  CLI11_PARSE(app, count, arguments);
  const gpu::Devices devices = gpu::visible_devices();
  if (devices.visible.empty()) throw ConfigError("no GPU: " + devices.why_none);
  measure_all(options);
  return 0;
}

}  // namespace
}  // namespace hetmoe::bench

int main(int count, char** arguments) {
  try {
    return hetmoe::bench::run(count, arguments);
  } catch (const hetmoe::Error& error) {
    std::cerr << "hetmoe_product_bench: " << error.what() << '\n';
    return static_cast<int>(error.exit_code());
  }
}
