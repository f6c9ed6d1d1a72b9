#pragma once

namespace hetmoe::emulation {

/// If the environment asks for it. Any number of times.
void write_host_waits_at_exit();

}  // namespace hetmoe::emulation
