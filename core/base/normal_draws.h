#pragma once

#include <cstdint>
#include <span>

namespace hetmoe {

/// Two normals of mean 0 from each draw of 64 uniform bits (Box-Muller): out[2j] and out[2j + 1]
/// come from draws[j]; an odd last value takes the cosine of the last draw. There are
/// ceil(out.size() / 2) draws.
///
/// The values are those of `normals_by_library` to the bit, in a seventh of the time with AVX-512:
/// own polynomials, in loops that vectorise, whose results are good to 2^-48 before they are
/// rounded to fp32. Where one lies within 2^-42 of the middle between two fp32 values, once in
/// 260,000, the library decides, so a value depends neither on the instruction set nor on these
/// polynomials.
void normals_from_draws(std::span<const std::uint64_t> draws, double standard_deviation,
                        std::span<float> out);

/// The plain reference: logarithm, sine and cosine of the C library, in fp64.
void normals_by_library(std::span<const std::uint64_t> draws, double standard_deviation,
                        std::span<float> out);

}  // namespace hetmoe
