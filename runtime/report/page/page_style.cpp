#include "runtime/report/chart/colour.h"
#include "runtime/report/page/page_text.h"

namespace hetmoe {
namespace {

constexpr const char* kStyle =
    ":root{color-scheme:light dark;--paper:#fff;--card:#fff;--back:#f5f6f7;--ink:#1c2126;"
    "--quiet:#5c666f;--line:#d9dee3}"
    "@media(prefers-color-scheme:dark){:root{--paper:#1a1e22;--card:#1a1e22;--back:#111417;"
    "--ink:#e6e9ec;--quiet:#98a3ad;--line:#343b42}}"
    "*{box-sizing:border-box}"
    "body{margin:0;background:var(--back);color:var(--ink);"
    "font:15px/1.45 system-ui,-apple-system,\"Segoe UI\",sans-serif;overflow-wrap:anywhere}"
    "main{max-width:1120px;margin:0 auto;padding:20px 16px 48px}"
    "h1{font-size:26px;line-height:1.2;margin:2px 0 6px}"
    "h2{font-size:19px;margin:36px 0 10px}"
    "h3{font-size:15px;margin:0}"
    "p{margin:3px 0;color:var(--quiet)}"
    "header p{max-width:90ch}"
    ".kind{font-size:13px;letter-spacing:.04em}"
    ".state{display:inline-block;padding:1px 10px;border-radius:10px;font-size:14px;"
    "font-weight:600;background:var(--k);color:var(--paper);margin-right:6px}"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(105px,1fr));gap:10px;"
    "margin:18px 0}"
    ".tiles div,figure,.card{background:var(--card);border:1px solid var(--line);"
    "border-radius:8px}"
    ".tiles div{padding:8px 10px}"
    "dt{font-size:13px;color:var(--quiet)}dd{margin:0;font-size:18px;font-weight:600}"
    "dd small{display:block;font-size:12px;font-weight:400;color:var(--quiet)}"
    ".figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,400px),1fr));"
    "gap:14px;align-items:start}"
    "figure{margin:0;padding:12px 12px 8px;min-width:0}"
    "figcaption p{font-size:13px}"
    ".legend{list-style:none;display:flex;flex-wrap:wrap;gap:2px 14px;margin:6px 0 2px;padding:0;"
    "font-size:13px;color:var(--quiet)}"
    ".legend i{display:inline-block;width:11px;height:11px;border-radius:2px;margin-right:5px;"
    "background:var(--k);vertical-align:-1px}"
    ".scroll{overflow-x:auto;margin:10px 0;background:var(--card);border:1px solid var(--line);"
    "border-radius:8px}"
    "table{border-collapse:collapse;font-size:13.5px;width:100%;"
    "font-variant-numeric:tabular-nums}"
    "th,td{padding:5px 12px;text-align:right;white-space:nowrap;unicode-bidi:isolate}"
    "th{color:var(--quiet);font-weight:500}tbody tr{border-top:1px solid var(--line)}"
    ".text{text-align:left;white-space:normal;overflow-wrap:break-word;max-width:34em}"
    ".note{padding:8px 14px;margin:14px 0;border-left:4px solid var(--c4)}.note p{margin:2px 0}"
    "details{margin:12px 0}summary{cursor:pointer;font-weight:600}"
    "footer{margin-top:40px;font-size:13px;color:var(--quiet)}"
    ".tip{position:fixed;pointer-events:none;z-index:9;background:var(--card);color:var(--ink);"
    "border:1px solid var(--line);border-radius:6px;padding:4px 9px;font-size:12.5px;"
    "white-space:pre;box-shadow:0 2px 8px #0003}"
    "svg[data-kind]{touch-action:pan-y}"
    "@media print{body{background:#fff}figure,tr{break-inside:avoid}}";

}  // namespace

std::string page_style() { return kStyle + chart_style(); }

}  // namespace hetmoe
