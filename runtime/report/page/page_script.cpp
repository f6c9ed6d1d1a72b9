#include "runtime/report/page/page_text.h"

namespace hetmoe {
namespace {

// Values are read back from the drawn lines: the page carries no numbers twice. Everything is set
// as text, never as markup.
constexpr const char* kScript = R"script(
"use strict";
(function () {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.appendChild(tip);

  function axisOf(text) {
    const parts = text.split(" ");
    return {low: +parts[0], high: +parts[1], log: parts[2] === "1", unit: parts.slice(3).join(" ")};
  }
  function valueAt(axis, place) {
    return axis.log ? axis.low * Math.pow(axis.high / axis.low, place)
                    : axis.low + place * (axis.high - axis.low);
  }
  function shown(value, unit) {
    const text = Math.abs(value) >= 1e5
        ? value.toLocaleString("en", {notation: "compact", maximumSignificantDigits: 4})
        : String(Number(value.toPrecision(4)));
    return unit ? text + " " + unit : text;
  }
  function pointsOf(path) {
    if (!path.points) {
      path.points = [];
      for (const found of path.getAttribute("d").matchAll(/[ML](-?[\d.]+) (-?[\d.]+)/g))
        path.points.push([+found[1], +found[2]]);
    }
    return path.points;
  }
  function nearest(points, x) {
    let low = 0, high = points.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (points[middle][0] < x) low = middle; else high = middle;
    }
    return x - points[low][0] < points[high][0] - x ? points[low] : points[high];
  }

  document.querySelectorAll("svg[data-kind]").forEach(function (svg) {
    const frame = svg.dataset.frame.split(" ").map(Number);
    const xAxis = axisOf(svg.dataset.x), yAxis = axisOf(svg.dataset.y);
    const paths = Array.from(svg.querySelectorAll("path[data-name]"));
    const cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
    cursor.setAttribute("class", "base");
    cursor.style.display = "none";
    svg.appendChild(cursor);

    function show(event) {
      const at = new DOMPoint(event.clientX, event.clientY)
          .matrixTransform(svg.getScreenCTM().inverse());
      if (at.x < frame[0] || at.x > frame[2] || !paths.length) return hide();
      const near = paths.map(function (path) { return nearest(pointsOf(path), at.x); });
      const best = near.reduce(function (one, other) {
        return Math.abs(one[0] - at.x) <= Math.abs(other[0] - at.x) ? one : other;
      });
      const heights = near.map(function (point) {
        return valueAt(yAxis, (frame[3] - point[1]) / (frame[3] - frame[1]));
      });
      const lines = [svg.dataset.title + " " +
          shown(valueAt(xAxis, (best[0] - frame[0]) / (frame[2] - frame[0])), "")];
      paths.forEach(function (path, i) {
        if (Math.abs(near[i][0] - best[0]) > 12) return;
        const below = svg.dataset.kind === "stack" && i + 1 < paths.length ? heights[i + 1] : 0;
        lines.push(path.dataset.name + " " + shown(heights[i] - below, yAxis.unit));
      });
      tip.textContent = lines.slice(0, 20).join("\n");
      tip.hidden = false;
      const box = tip.getBoundingClientRect();
      const left = event.clientX + 14 + box.width > innerWidth ? event.clientX - 14 - box.width
                                                               : event.clientX + 14;
      tip.style.left = Math.max(4, left) + "px";
      tip.style.top = Math.max(4, Math.min(event.clientY + 14, innerHeight - box.height - 4)) + "px";
      cursor.setAttribute("x1", best[0]);
      cursor.setAttribute("x2", best[0]);
      cursor.setAttribute("y1", frame[1]);
      cursor.setAttribute("y2", frame[3]);
      cursor.style.display = "";
    }
    function hide() {
      tip.hidden = true;
      cursor.style.display = "none";
    }
    svg.addEventListener("pointermove", show);
    svg.addEventListener("pointerdown", show);
    svg.addEventListener("pointerleave", hide);
  });
})();
)script";

}  // namespace

const char* page_script() { return kScript; }

const char* page_script_digest() { return "sha256-a5R3euGSCF/Fjhttk+OuZWnQmjYIXruRJQt3YoPi0bw="; }

}  // namespace hetmoe
