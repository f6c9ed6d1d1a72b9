// hetmoe_print_logits CHECKPOINT TOKENS
//
// For programs by other hands to compare with: the logits that the program itself computes in fp32
// after every token of every list of TOKENS ([[1, 2], ...]), as one JSON array
// [lists][tokens][vocabulary].

#include <cstdint>
#include <cstdio>
#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>
#include <span>
#include <vector>

#include "core/base/clock.h"
#include "parallel/communicator/local_communicator.h"
#include "runtime/inference/loaded_model.h"

int main(int count, char** arguments) {
  using namespace hetmoe;
  if (count != 3) {
    std::fprintf(stderr, "usage: hetmoe_print_logits CHECKPOINT TOKENS\n");
    return 2;
  }
  try {
    const auto lists =
        nlohmann::json::parse(arguments[2]).get<std::vector<std::vector<std::int32_t>>>();
    LocalWorld world(1);
    const auto communicator = world.communicator(0);
    const SystemClock clock;
    LoadedModel model(arguments[1], {"train.precision=fp32"}, *communicator, clock);
    nlohmann::json out = nlohmann::json::array();
    for (const std::vector<std::int32_t>& list : lists) {
      nlohmann::json& rows = out.emplace_back(nlohmann::json::array());
      for (std::size_t length = 1; length <= list.size(); ++length) {
        rows.push_back(model.next_token_logits(std::span(list).first(length)));
      }
    }
    std::cout << out.dump() << "\n";
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
