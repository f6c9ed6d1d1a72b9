#pragma once

#include <string>

#include "runtime/report/summary.h"

namespace hetmoe {

/// What will run, as text: model, parameters, plan by rank. ASCII, at most 100 columns, ends in a
/// newline. Of many ranks the first and last are shown.
std::string header_text(const RunSummary& summary);

/// The closing table: loss against ln(vocabulary) and the unigram entropy, speed, balance, and the
/// share of tokens per expert beside its width. Same form.
std::string closing_text(const FinalSummary& summary);

}  // namespace hetmoe
