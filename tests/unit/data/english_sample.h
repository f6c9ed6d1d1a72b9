#pragma once

#include <string>

namespace hetmoe {

/// Some thousand lines of changing sentences, enough to learn a few hundred pieces from.
inline std::string english_sample(int lines) {
  constexpr const char* kSubjects[] = {"The router",  "An expert",   "One rank",
                                       "Every token", "The planner", "A slice"};
  constexpr const char* kVerbs[] = {"sends", "keeps", "counts", "balances", "remembers"};
  constexpr const char* kObjects[] = {"its load",          "the gradients",   "a row of weights",
                                      "what was received", "seven documents", "the moments",
                                      "nothing at all"};
  std::string text;
  for (int i = 0; i < lines; ++i) {
    if (i % 9 == 0) text += "\n";
    if (i % 4 == 0) text += "    ";
    text +=
        std::string(kSubjects[i % 6]) + " " + kVerbs[i % 5] + " " + kObjects[i % 7] + " in step ";
    text += std::to_string(i * 37 % 1000) + ".\n";
  }
  return text;
}

}  // namespace hetmoe
