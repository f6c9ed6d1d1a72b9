#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace hetmoe {

/// SwiGLU on tiles of a slice's hidden layer: `units` x `tokens`, at most 64 of each, tokens a
/// multiple of 16; a unit's tokens lie next to each other. fp32 tiles have rows of kSwigluTokens.
/// Pairs are words [kSwigluUnits / 2][kSwigluTokens]: two units that follow one another, the lower
/// one in the low half, 0 for units that do not exist.
inline constexpr std::int64_t kSwigluUnits = 64;
inline constexpr std::int64_t kSwigluTokens = 64;

struct SwigluTile {
  std::int64_t units;
  std::int64_t tokens;
  const float* gates;         ///< [tokens]
  c10::BFloat16* saved_gate;  ///< [units][tokens]: g in bf16
  c10::BFloat16* saved_up;    ///< [units][tokens]: u
};

/// Saves g and u; hidden = gate of the token * silu(g) * u.
void packed_swiglu_forward(const float* g, const float* u, const SwigluTile& tile,
                           std::uint32_t* hidden_pairs);

/// Gradients of g and u, and the gated hidden layer once more, [units] rows of a stride.
struct SwigluGradients {
  c10::BFloat16* hidden;
  c10::BFloat16* gate;
  c10::BFloat16* up;
  std::int64_t stride;
  std::uint32_t* gate_pairs;
  std::uint32_t* up_pairs;
};

/// From what was saved and z, the gradient of the ungated hidden layer. token_sums [tokens] += sum
/// over the units of silu(g) * u * z.
void packed_swiglu_backward(const float* z, const SwigluTile& tile, const SwigluGradients& out,
                            float* token_sums);

/// The two that those above choose from: loops in plain words for any processor, and hand-written
/// ones for AVX-512 with bf16, which may be called where has_avx512_bf16().
void plain_swiglu_forward(const float* g, const float* u, const SwigluTile& tile,
                          std::uint32_t* hidden_pairs);
void plain_swiglu_backward(const float* z, const SwigluTile& tile, const SwigluGradients& out,
                           float* token_sums);
void avx512_swiglu_forward(const float* g, const float* u, const SwigluTile& tile,
                           std::uint32_t* hidden_pairs);
void avx512_swiglu_backward(const float* z, const SwigluTile& tile, const SwigluGradients& out,
                            float* token_sums);

}  // namespace hetmoe
