#include "parallel/communicator/communicator.h"

#include <utility>

namespace hetmoe {

// The operation's own destructor waits: it knows its communicator and can abort it.
Pending::~Pending() = default;

void Pending::wait() {
  if (!operation_) return;
  // Emptied first: after an error there is nothing left to wait for.
  const std::unique_ptr<Operation> operation = std::move(operation_);
  operation->wait();
}

bool Pending::done() { return !operation_ || operation_->done(); }

}  // namespace hetmoe
