#pragma once

#include <memory>
#include <string>

#include "parallel/communicator/collective_log.h"
#include "parallel/communicator/communicator.h"

namespace hetmoe {

/// `inner`, with its collectives and those of all communicators split off it recorded in `log`,
/// which must outlive them and what they have started. `name`: equal on all members, and no other
/// communicator's; those split off add "/SEQUENCE.COLOR" to it. A group of one waits for nobody and
/// stays as it is.
/// Cost of a collective: one small block of memory and three looks at the clock.
std::unique_ptr<Communicator> watched(std::unique_ptr<Communicator> inner, CollectiveLog& log,
                                      std::string name);

}  // namespace hetmoe
