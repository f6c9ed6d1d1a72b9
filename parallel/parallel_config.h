#pragma once

#include <string>

#include "core/config/allowed.h"

namespace hetmoe {

/// How the ranks use the machine.
struct ParallelConfig {
  std::string device = "auto";
  int threads = 0;
  int expert_group_size = 0;
  int dispatch_parts = 2;
  std::string product_table;

  template <typename Visitor>
  void fields(Visitor& visit) {
    visit.field("device", device, "",
                "Where tensors live. auto: cuda where it is built in and every rank sees a GPU.",
                one_of({"auto", "cpu", "cuda"}));
    visit.field("threads", threads, "threads",
                "Per rank; 0: the cores of the rank's affinity mask over the ranks that share it.",
                at_least(0, 4096));
    visit.field(
        "expert_group_size", expert_group_size, "ranks",
        "Neighbouring ranks that together hold one copy of all experts; it divides the number "
        "of ranks. Smaller groups: less traffic per token, more memory. 0: the whole world.",
        at_least(0, 1 << 20));
    visit.field("dispatch_parts", dispatch_parts, "",
                "On GPUs the tokens of a microbatch go to their experts in so many parts: one is "
                "computed while the next is on its way. 1: all at once.",
                at_least(1, 8));
    visit.field("product_table", product_table, "",
                "YAML file that tells which way of multiplying experts on a GPU was fastest for "
                "which sizes (hetmoe_product_bench --write); \"\": cuBLAS on several streams.");
  }
};

}  // namespace hetmoe
