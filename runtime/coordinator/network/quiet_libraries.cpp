#include "runtime/coordinator/network/quiet_libraries.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace hetmoe {

void silence_libraries() {
  if (std::getenv("GRPC_VERBOSITY") != nullptr) return;
  gpr_set_log_function([](gpr_log_func_args* line) {
    if (std::string_view(line->message).starts_with("assertion failed")) {
      std::fprintf(stderr, "grpc: %s:%d: %s\n", line->file, line->line, line->message);
    }
  });
  google::protobuf::SetLogHandler(nullptr);
}

}  // namespace hetmoe
