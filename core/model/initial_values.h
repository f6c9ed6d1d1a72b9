#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace hetmoe {

/// Initial rows [row_begin, row_begin + out.size() / columns) of one tensor: a pure function of
/// (seed, global name, row), so that they do not depend on ranks, placement or cuts. Matrices are
/// normal with mean 0 and the given deviation, whatever the width of an expert (HMoE, section 3);
/// vectors are 1.
void initial_rows(std::uint64_t seed, const std::string& name, bool is_matrix,
                  double standard_deviation, std::int64_t row_begin, std::int64_t columns,
                  std::span<float> out);

}  // namespace hetmoe
