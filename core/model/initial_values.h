#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace hetmoe {

/// How the values of a tensor begin.
struct Initial {
  enum class Kind : std::uint8_t { kConstant, kNormal, kUniform };
  Kind kind = Kind::kConstant;
  double scale = 0;  ///< the constant; the standard deviation; the bound of [-scale, scale)

  static Initial constant(double value) { return {Kind::kConstant, value}; }
  static Initial normal(double standard_deviation) { return {Kind::kNormal, standard_deviation}; }
  static Initial uniform(double bound) { return {Kind::kUniform, bound}; }
};

/// Initial rows [row_begin, row_begin + out.size() / columns) of one tensor: a pure function of
/// (seed, global name, row), so that they do not depend on ranks, placement or cuts. The experts'
/// matrices are normal, whatever the width of an expert (HMoE, section 3).
void initial_rows(std::uint64_t seed, const std::string& name, const Initial& initial,
                  std::int64_t row_begin, std::int64_t columns, std::span<float> out);

}  // namespace hetmoe
