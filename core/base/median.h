#pragma once

#include <vector>

namespace hetmoe {

/// The middle value, of an even number of values the upper of the two in the middle; 0 for none.
double median(std::vector<double> values);

}  // namespace hetmoe
