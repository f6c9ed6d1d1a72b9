#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace hetmoe {

/// Which rank mpirun saw end first.
struct FirstLost {
  int rank = 0;
  std::string host;
};

/// Open MPI's standard error, line by line. What it says about the end of a rank, between lines of
/// dashes, is kept back: its first cause is one line that others say. What ranks say meanwhile, in
/// lines that begin with "hetmoe: ", passes, as does everything else.
class MpirunMessages {
 public:
  /// A line without its end; gives what is to be printed, lines with their ends.
  std::string pass(std::string_view line);
  /// What waits for the end of a message: after the last line, or when none comes for a while.
  std::string rest();

  const std::optional<FirstLost>& first_lost() const { return first_lost_; }

 private:
  std::string close_block();

  bool in_block_ = false;
  std::string block_;  ///< from its first line of dashes
  std::optional<FirstLost> first_lost_;
};

}  // namespace hetmoe
