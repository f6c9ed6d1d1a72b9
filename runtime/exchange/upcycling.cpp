#include "runtime/exchange/upcycling.h"

#include <algorithm>
#include <numeric>

#include "core/base/check.h"

namespace hetmoe {

ModelConfig upcycled_model(const ModelConfig& dense, const Upcycling& upcycling) {
  ModelConfig model = dense;
  model.experts.count = static_cast<int>(upcycling.widths.size());
  model.experts.widths = upcycling.widths;
  model.router = RouterConfig();
  model.router.top_k = upcycling.top_k;
  const auto [narrowest, widest] = std::ranges::minmax(upcycling.widths);
  if (narrowest == widest) {
    model.router.parameter_penalty = 0;
    model.router.load_balance = 0.01;
  }
  return model;
}

std::int64_t first_unit(const Upcycling& upcycling, int expert) {
  const auto begin = upcycling.widths.begin();
  return std::accumulate(begin, begin + expert, std::int64_t{0});
}

double down_scale(const Upcycling& upcycling, int expert, std::int64_t dense_width) {
  const double share = static_cast<double>(dense_width) /
                       static_cast<double>(upcycling.widths[static_cast<std::size_t>(expert)]);
  return upcycling.top_k == 1 ? share * static_cast<double>(upcycling.widths.size()) : share;
}

std::vector<float> wrapped_rows(std::span<const float> dense, std::int64_t columns,
                                std::int64_t first, std::int64_t width, double scale) {
  const std::int64_t rows = static_cast<std::int64_t>(dense.size()) / columns;
  HETMOE_CHECK(rows > 0 && width > 0, rows, " rows, width ", width);
  std::vector<float> out;
  out.reserve(static_cast<std::size_t>(width * columns));
  for (std::int64_t unit = 0; unit < width; ++unit) {
    const auto row = static_cast<std::size_t>((first + unit) % rows * columns);
    for (const float value : dense.subspan(row, static_cast<std::size_t>(columns))) {
      out.push_back(static_cast<float>(value * scale));
    }
  }
  return out;
}

}  // namespace hetmoe
