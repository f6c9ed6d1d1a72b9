#include "launcher/error_text.h"

#include <iostream>
#include <sstream>

namespace hetmoe {

void print_error(const std::string& message) {
  std::istringstream lines(message);
  std::string text;
  for (std::string line; std::getline(lines, line);) text += "hetmoe: " + line + "\n";
  std::cerr << text << std::flush;
}

}  // namespace hetmoe
