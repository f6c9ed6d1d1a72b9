#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace hetmoe {

/// The training lines of runs as one table: the last line of each step, by run and step. Columns:
/// run, then every number of the lines by its dotted name in the order of appearance; what a line
/// lacks is left empty. Reads each metrics.jsonl twice and holds a line at a time.
/// `write` takes the table piece by piece. Damaged lines are left out.
void write_metrics_csv(const std::vector<std::filesystem::path>& runs,
                       const std::function<void(std::string_view)>& write);

/// A field of a CSV table as RFC 4180 has it: quoted where it must be. One that a spreadsheet would
/// take for a formula begins with an apostrophe.
std::string csv_field(const std::string& text);

}  // namespace hetmoe
