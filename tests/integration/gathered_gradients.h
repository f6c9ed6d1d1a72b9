#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "parallel/ownership/ownership.h"

namespace hetmoe {

/// Summed gradients of the whole model by global name, put together from what ranks that are
/// threads own.
class GatheredGradients {
 public:
  /// Copies the rows that one rank owns. Any rank, at any time. Throws if a row has two owners.
  void add(const Ownership& ownership);

  /// Elements from row 0 on; throws if a row up to the last one has no owner.
  std::vector<double> tensor(const std::string& name) const;
  std::vector<std::string> names() const;

 private:
  struct Rows {
    std::int64_t end = 0;
    std::vector<double> values;
  };
  std::mutex mutex_;
  std::map<std::string, std::map<std::int64_t, Rows>> tensors_;  ///< name, first row
};

/// Length of a vector.
double norm_of(const std::vector<double>& values);

/// Dot product with w[i] = cos(0.7 k + 0.013 k i), as tests/peers/make_reference.py takes it.
double projection_of(const std::vector<double>& values, int k);

}  // namespace hetmoe
