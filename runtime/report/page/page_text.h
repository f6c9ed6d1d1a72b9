#pragma once

#include <string>

namespace hetmoe {

/// CSS of the page, without its tag: light or dark as the reader's system is, one column on a
/// phone.
std::string page_style();

/// The script that shows values where somebody points at a chart. The page is complete without it.
/// Its digest is named in the page's policy, so that no other script runs, wherever it came from.
const char* page_script();
const char* page_script_digest();  ///< "sha256-...", base64

}  // namespace hetmoe
