#include "tests/bench/product_calls.h"

#include <algorithm>
#include <cmath>

namespace hetmoe::bench {
namespace {

using gpu::Form;

std::vector<std::int64_t> held_widths(const ModelConfig& model, int held) {
  const std::vector<std::int64_t> all = expert_widths(model.experts);
  std::vector<std::int64_t> widths;
  for (int i = 0; i < held; ++i) {
    widths.push_back(
        all[static_cast<std::size_t>(i) * all.size() / static_cast<std::size_t>(held)]);
  }
  return widths;
}

std::vector<std::int64_t> uneven_rows(double mean, int held) {
  std::vector<std::int64_t> rows;
  for (int i = 0; i < held; ++i) {
    const double place = held == 1 ? 0.5 : static_cast<double>(i) / (held - 1);
    rows.push_back(std::max<std::int64_t>(1, std::llround(mean * (0.5 + place))));
  }
  // Else the widest would always be the fullest.
  for (std::size_t i = 0; i + 1 < rows.size(); i += 3) std::swap(rows[i], rows.back());
  return rows;
}

}  // namespace

double ProductCall::flops() const {
  double sum = 0;
  for (const ProductSize& size : sizes) {
    sum += 2.0 * static_cast<double>(size.rows) * static_cast<double>(size.columns) *
           static_cast<double>(size.depth);
  }
  return sum;
}

std::vector<ProductCall> calls_of_layer(const ModelConfig& model, std::int64_t tokens, int held) {
  const std::vector<std::int64_t> widths = held_widths(model, held);
  const double mean = static_cast<double>(tokens) * model.router.top_k / held;
  const std::vector<std::int64_t> rows = uneven_rows(mean, held);
  const std::int64_t hidden = model.hidden_size;
  const auto call = [&](const char* name, Form form, auto size_of) {
    ProductCall made{.name = name, .kind = {.form = form}, .sizes = {}};
    if (form == Form::kAtB) {
      made.kind.out = gpu::Number::kFloat32;
      made.kind.adds = true;
    }
    for (std::size_t i = 0; i < widths.size(); ++i)
      made.sizes.push_back(size_of(rows[i], widths[i]));
    return made;
  };
  using N = std::int64_t;
  return {call("gate_up", Form::kABt,
               [&](N n, N w) {
                 return ProductSize{n, 2 * w, hidden};
               }),
          call("down", Form::kAB,
               [&](N n, N w) {
                 return ProductSize{n, hidden, w};
               }),
          call("gradient of hidden", Form::kABt,
               [&](N n, N w) {
                 return ProductSize{n, w, hidden};
               }),
          call("weights of down", Form::kAtB,
               [&](N n, N w) {
                 return ProductSize{w, hidden, n};
               }),
          call("weights of gate_up", Form::kAtB,
               [&](N n, N w) {
                 return ProductSize{2 * w, hidden, n};
               }),
          call("gradient of x", Form::kAB, [&](N n, N w) {
            return ProductSize{n, hidden, 2 * w};
          })};
}

ProductCall dense_call_like(const ProductCall& call) {
  const auto count = static_cast<std::int64_t>(call.sizes.size());
  std::int64_t columns = 0, depth = 0;
  for (const ProductSize& size : call.sizes) {
    columns += size.columns;
    depth += size.depth;
  }
  const auto in_eights = [](double size) {
    return std::max<std::int64_t>(8, 8 * std::llround(size / 8));
  };
  columns = in_eights(static_cast<double>(columns) / static_cast<double>(count));
  depth = in_eights(static_cast<double>(depth) / static_cast<double>(count));
  const double rows =
      call.flops() / 2 / (static_cast<double>(columns) * static_cast<double>(depth));
  return {.name = "dense", .kind = call.kind, .sizes = {{in_eights(rows), columns, depth}}};
}

}  // namespace hetmoe::bench
