#pragma once

#include <string>
#include <vector>

namespace hetmoe {

/// HTML that may be put into a page as it is; all else goes through escaped().
using Html = std::string;

struct LegendEntry {
  std::string colour;  ///< category_class or ramp_class
  std::string name;
};

/// A picture with a heading above it and words under that.
struct Figure {
  std::string title;
  std::string note;
  Html picture;  ///< empty: there is no figure
  std::vector<LegendEntry> legend;
};
Html figure(const Figure& figure);

struct HtmlTable {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
  std::size_t text_columns = 1;  ///< at the left; all others are numbers
};
/// Scrolls by itself where the page is too narrow. Empty without rows.
Html table(const HtmlTable& table);

/// A figure of the head: "1.23 M" over "tokens".
struct Tile {
  std::string value;
  std::string name;
  std::string note;
};
Html tiles(const std::vector<Tile>& tiles);

/// Nothing when `inside` is.
Html section(const std::string& title, const Html& inside);
/// Figures side by side where there is room.
Html side_by_side(const Html& inside);
Html paragraph(const std::string& text);
/// Closed until it is asked for.
Html folded(const std::string& title, const Html& inside);

}  // namespace hetmoe
