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
  std::vector<std::string> words;        ///< texts: these, when not empty
  std::string file_ending;               ///< texts: or a path that ends so
  std::vector<std::string> later_words;  ///< words of the contract that this version does not have
  std::optional<std::string> off_value;  ///< the feature does not exist yet: only this value

  /// Says one more word of the contract that is refused by name in this version.
  Allowed later(std::vector<std::string> more) &&;
  /// "1..1024", "> 0", "top_k, top_p", "only 0 in this version"; empty when anything goes.
  std::string describe() const;
  bool accepts_number(double value) const;
  bool accepts_text(const std::string& value) const;
  /// What to say of a value that is refused: "allowed: >= 1", "this version only has 0".
  std::string refusal_of_number(double value) const;
  std::string refusal_of_text(const std::string& value) const;
};

/// Anything from `minimum`; beyond `guard` the whole range is named.
Allowed at_least(double minimum, double guard = 1e12);
Allowed between(double minimum, double maximum);
/// minimum < value <= maximum.
Allowed above_up_to(double minimum, double maximum);
Allowed one_of(std::vector<std::string> words);
Allowed one_of_or_file(std::vector<std::string> words, std::string file_ending);
/// The key is part of the contract, its feature is not in this version. `off_value` is the
/// only one accepted: "0", "none", "" (no text).
Allowed only_off(std::string off_value);

}  // namespace hetmoe
