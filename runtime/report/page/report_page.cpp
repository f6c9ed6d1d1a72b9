#include "runtime/report/page/report_page.h"

#include "core/base/check.h"
#include "runtime/report/chart/svg_text.h"
#include "runtime/report/page/page_text.h"
#include "runtime/report/page/sections.h"
#include "runtime/report/page/series.h"

namespace hetmoe {
namespace {

/// Even if markup came through, nothing but our script would run, and nothing would be asked for.
std::string policy() {
  return std::string("default-src 'none'; style-src 'unsafe-inline'; script-src '") +
         page_script_digest() + "'; base-uri 'none'; form-action 'none'";
}

Html details_of(const RunStory& story) {
  return training_part(story) + speed_part(story) + experts_part(story) + balance_part(story) +
         placement_part(story) + operation_part(story) +
         section("Configuration", configuration_part(story));
}

Html body_of(const std::vector<RunStory>& stories) {
  if (stories.size() == 1) return head_part(stories.front()) + details_of(stories.front());
  Html html = comparison_part(stories);
  if (stories.size() > kMostDetailedRuns)
    return html + paragraph("Each run by itself: hetmoe report RUN_DIR.");
  for (const RunStory& story : stories)
    html += section(story.name, folded("This run by itself", head_part(story) + details_of(story)));
  return html;
}

std::string title_of(const std::vector<RunStory>& stories) {
  std::string title;
  for (const RunStory& story : stories) title += (title.empty() ? "" : ", ") + story.name;
  return title + " - hetmoe report";
}

}  // namespace

std::string report_page(const std::vector<RunStory>& stories, double wall_seconds_now) {
  HETMOE_CHECK(!stories.empty() && stories.size() <= kMostRuns, "runs: ", stories.size());
  return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
         "<meta http-equiv=\"Content-Security-Policy\" content=\"" +
         policy() +
         "\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>" +
         escaped(title_of(stories)) + "</title>\n<style>" + page_style() +
         "</style></head>\n<body><main>\n" + body_of(stories) + "<footer>Made by hetmoe report, " +
         clock_text(wall_seconds_now) + " UTC.</footer>\n</main>\n<script>" + page_script() +
         "</script></body></html>\n";
}

}  // namespace hetmoe
