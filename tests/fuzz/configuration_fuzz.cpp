// A configuration of any bytes is refused by a ConfigError, or is the same after being printed and
// read again.

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/base/check.h"
#include "core/base/error.h"
#include "runtime/run_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(input), size);
  hetmoe::RunConfig config;
  try {
    config = hetmoe::parse_run_config(text, "input", {});
  } catch (const hetmoe::ConfigError&) {
    return 0;
  }
  const std::string printed = hetmoe::resolved_yaml(config);
  HETMOE_CHECK(hetmoe::resolved_yaml(hetmoe::parse_run_config(printed, "printed", {})) == printed,
               "another configuration when read again");
  return 0;
}
