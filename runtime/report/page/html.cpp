#include "runtime/report/page/html.h"

#include "runtime/report/chart/svg_text.h"

namespace hetmoe {
namespace {

Html legend(const std::vector<LegendEntry>& entries) {
  if (entries.empty()) return "";
  Html html = "<ul class=\"legend\">";
  for (const LegendEntry& entry : entries)
    html += "<li><i class=\"" + entry.colour + "\"></i>" + escaped(entry.name) + "</li>";
  return html + "</ul>\n";
}

Html cell(const char* tag, const std::string& text, bool is_text) {
  return std::string("<") + tag + (is_text ? " class=\"text\">" : ">") + escaped(text) + "</" +
         tag + ">";
}

}  // namespace

Html figure(const Figure& figure) {
  if (figure.picture.empty()) return "";
  return "<figure><figcaption><h3>" + escaped(figure.title) + "</h3>" +
         (figure.note.empty() ? "" : paragraph(figure.note)) + "</figcaption>\n" +
         legend(figure.legend) + figure.picture + "</figure>\n";
}

Html table(const HtmlTable& table) {
  if (table.rows.empty()) return "";
  Html html = "<div class=\"scroll\"><table><thead><tr>";
  for (std::size_t i = 0; i < table.columns.size(); ++i)
    html += cell("th", table.columns[i], i < table.text_columns);
  html += "</tr></thead><tbody>\n";
  for (const auto& row : table.rows) {
    html += "<tr>";
    for (std::size_t i = 0; i < row.size(); ++i) html += cell("td", row[i], i < table.text_columns);
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

Html tiles(const std::vector<Tile>& tiles) {
  Html html = "<dl class=\"tiles\">\n";
  for (const Tile& tile : tiles) {
    html += "<div><dt>" + escaped(tile.name) + "</dt><dd>" + escaped(tile.value) +
            (tile.note.empty() ? "" : "<small>" + escaped(tile.note) + "</small>") +
            "</dd></div>\n";
  }
  return html + "</dl>\n";
}

Html section(const std::string& title, const Html& inside) {
  if (inside.empty()) return "";
  return "<section><h2>" + escaped(title) + "</h2>\n" + inside + "</section>\n";
}

Html side_by_side(const Html& inside) {
  return inside.empty() ? "" : "<div class=\"figures\">\n" + inside + "</div>\n";
}

Html paragraph(const std::string& text) { return "<p>" + escaped(text) + "</p>"; }

Html folded(const std::string& title, const Html& inside) {
  if (inside.empty()) return "";
  return "<details><summary>" + escaped(title) + "</summary>\n" + inside + "</details>\n";
}

}  // namespace hetmoe
