#pragma once

#include <optional>
#include <string>
#include <vector>

namespace hetmoe {

/// What a configuration key may hold, beyond its type. Built by the functions below, printed in
/// every message about the key and in the reference, so that both always agree.
struct Allowed {
  std::optional<double> minimum;
  std::optional<double> maximum;
  std::optional<double> guard;  ///< an unspoken maximum: beyond it is surely a slip
  bool minimum_excluded = false;
  std::vector<std::string> words;  ///< texts: these, when not empty
  std::string file_ending;         ///< texts: or a path that ends so

  /// "1..1024", "> 0", "top_k, top_p"; empty when anything goes.
  std::string describe() const;
  bool accepts_number(double value) const;
  bool accepts_text(const std::string& value) const;
  /// What to say of a value that is refused: "allowed: >= 1".
  std::string refusal_of_number(double value) const;
};

/// Anything from `minimum`; beyond `guard` the whole range is named.
Allowed at_least(double minimum, double guard = 1e12);
Allowed between(double minimum, double maximum);
/// minimum < value <= maximum.
Allowed above_up_to(double minimum, double maximum);
Allowed one_of(std::vector<std::string> words);
Allowed one_of_or_file(std::vector<std::string> words, std::string file_ending);

}  // namespace hetmoe
