#include "launcher/help_format.h"

#include <cstddef>
#include <sstream>
#include <string>

namespace hetmoe {
namespace {

constexpr std::size_t kColumns = 100;
constexpr std::size_t kExplanationColumn = 30;

/// Line ends in place of blanks; the formatter indents what follows them.
std::string wrapped(const std::string& text) {
  std::string out;
  std::size_t column = 0;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (column > 0 && column + 1 + word.size() > kColumns - kExplanationColumn) {
      out += '\n';
      column = 0;
    }
    if (column > 0) out += ' ';
    column += word.size() + (column > 0 ? 1 : 0);
    out += word;
  }
  return out;
}

class HelpFormat final : public CLI::Formatter {
 public:
  HelpFormat() { column_width(kExplanationColumn); }

  std::string make_option_desc(const CLI::Option* option) const override {
    return wrapped(CLI::Formatter::make_option_desc(option));
  }

  std::string make_subcommand(const CLI::App* subcommand) const override {
    std::stringstream out;
    CLI::detail::format_help(out, subcommand->get_display_name(true),
                             wrapped(subcommand->get_description()), kExplanationColumn);
    return out.str();
  }
};

}  // namespace

std::shared_ptr<CLI::Formatter> help_format() { return std::make_shared<HelpFormat>(); }

}  // namespace hetmoe
