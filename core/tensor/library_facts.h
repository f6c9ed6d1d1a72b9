#pragma once

#include <string>

namespace hetmoe {

/// What LibTorch is here, without its headers.
struct LibraryFacts {
  std::string version;       ///< "2.11.0+cu130", that of the headers
  std::string instructions;  ///< what its kernels use: "AVX512"
  int threads = 0;           ///< that it would take of its own accord
  bool computes = false;     ///< a small product of ones came out right
};

/// Starts no threads. Cost: milliseconds.
LibraryFacts library_facts();

}  // namespace hetmoe
