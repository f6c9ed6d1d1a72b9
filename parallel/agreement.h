#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "parallel/communicator/communicator.h"

namespace hetmoe {

/// An error that every rank of the group has been told of: each can end by itself, and one of them
/// prints it.
class AgreedError final : public Error {
 public:
  using Error::Error;
};

/// Runs `work` on every rank; if it fails on any, all throw the AgreedError of the lowest rank that
/// failed (naming it, unless it is rank 0). `work` must not call collectives that the other ranks'
/// `work` would miss after a failure. Collective. Blocking.
void collectively(Communicator& group, const std::function<void()>& work);

/// The root's text on every rank. Collective. Blocking.
std::string broadcast_text(Communicator& group, std::string text, int root);

/// Every rank's text, by rank, on every rank. Collective. Blocking.
std::vector<std::string> gather_texts(Communicator& group, const std::string& text);

}  // namespace hetmoe
