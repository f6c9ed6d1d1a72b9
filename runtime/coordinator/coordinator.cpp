#include "runtime/coordinator/coordinator.h"

#include "core/base/check.h"

namespace hetmoe {

std::string_view command_name(CommandKind kind) {
  switch (kind) {
    case CommandKind::kSave:
      return "save";
    case CommandKind::kStop:
      return "stop";
    case CommandKind::kStopAndRequeue:
      return "stop_and_requeue";
    case CommandKind::kRebalance:
      return "rebalance";
  }
  HETMOE_CHECK(false, "no such command: ", static_cast<int>(kind));
  return "";
}

}  // namespace hetmoe
