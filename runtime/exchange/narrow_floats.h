#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "core/files/safetensors.h"

namespace hetmoe {

/// Whether values of this type can be read as fp32: F32, BF16, F16, each exactly.
bool is_float_type(TensorType type);

/// Packed values of such a type as fp32; `bytes` holds exactly as many as `out`.
void widen(std::span<const std::byte> bytes, TensorType type, std::span<float> out);

/// fp32 as bf16, rounded to the nearest, ties to even; a NaN stays one.
void narrow_to_bf16(std::span<const float> values, std::span<std::byte> out);

}  // namespace hetmoe
