#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace hetmoe {

/// A program that we talk to in frames (a 32-bit length, then that many bytes) over its standard
/// input and output. Started with posix_spawn, without a shell; its standard error is kept and
/// quoted when it dies. The destructor closes the connection, at which the child ends, and waits
/// for it. Errors: StorageError naming the program and what it said last.
class ChildProcess {
 public:
  ChildProcess(const std::string& executable, const std::vector<std::string>& arguments);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  void send_frame(const std::string& payload);
  std::string receive_frame();

  /// Waits for the child to end by itself. Errors: StorageError unless it exits with 0.
  void finish();

 private:
  void start(const std::vector<std::string>& arguments, int child_end);
  void close_connection();
  int wait();
  [[noreturn]] void fail_dead();
  std::string last_words() const;

  std::string executable_;
  int connection_ = -1;
  int errors_ = -1;
  pid_t process_ = -1;
};

/// The path of a program that is installed beside the running one.
std::string beside_running_program(const std::string& name);

}  // namespace hetmoe
