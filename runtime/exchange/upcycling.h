#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/model/model_config.h"

namespace hetmoe {

/// A dense feed-forward turned into experts of any width, to begin training with.
struct Upcycling {
  std::vector<std::int64_t> widths;
  int top_k = 2;
  std::uint64_t seed = 1;  ///< of the routers' initial values
};

/// The dense model (one expert of width F) with these experts and a router.
ModelConfig upcycled_model(const ModelConfig& dense, const Upcycling& upcycling);

/// Hidden unit u of expert e is unit (b_e + u) mod F of the dense one, b_e = the widths before e:
/// the experts go through the dense units in turn, and begin again at the first.
std::int64_t first_unit(const Upcycling& upcycling, int expert);

/// What `down` of expert e is multiplied with: F / h_e, so that its sum over h_e units stands for
/// the dense sum over F; with one expert per token, whose gate is about 1 / E at first, times E.
/// Exact where every h_e is a multiple of F and gates sum to 1: then the model computes what the
/// dense one did.
double down_scale(const Upcycling& upcycling, int expert, std::int64_t dense_width);

/// Rows [first, first + width), counted on from the last to the first, times `scale`.
std::vector<float> wrapped_rows(std::span<const float> dense, std::int64_t columns,
                                std::int64_t first, std::int64_t width, double scale);

}  // namespace hetmoe
