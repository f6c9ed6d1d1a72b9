#pragma once

#include <exception>
#include <stdexcept>
#include <string>

namespace hetmoe {

/// Process exit codes (contract, others script against them).
enum class ExitCode : int {
  kDone = 0,
  kInternal = 1,
  kConfiguration = 2,
  kStorage = 3,
  kCommunication = 4,
  kCoordinator = 5,
  kNonFinite = 6,
  kStoppedBySignal = 75,
  kDoNotRunAgain = 93,
};

/// Root of every error that a person may see. what() is one line that names the thing, the value
/// and what is allowed; `main` prints it and exits with exit_code().
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode exit_code() const { return code_; }

 private:
  ExitCode code_;
};

/// A broken invariant: our fault, never the user's.
class InternalError : public Error {
 public:
  explicit InternalError(const std::string& message) : Error(ExitCode::kInternal, message) {}
};

/// The user's command line or configuration. May hold several lines, one per fault.
class ConfigError : public Error {
 public:
  explicit ConfigError(const std::string& message) : Error(ExitCode::kConfiguration, message) {}
};

/// A file or folder that cannot be read, written or trusted.
class StorageError : public Error {
 public:
  explicit StorageError(const std::string& message) : Error(ExitCode::kStorage, message) {}
};

/// A file or folder that could not be read just now: the disk, the file server or the rights stood
/// in the way. Nothing is known of what it holds; it may be whole.
class UnreadableError : public StorageError {
 public:
  using StorageError::StorageError;
};

/// A lost peer, a failed collective or a passed deadline.
class CommunicationError : public Error {
 public:
  explicit CommunicationError(const std::string& message)
      : Error(ExitCode::kCommunication, message) {}
};

/// What a person reads of an exception: of an Error its text; of a failed allocation that memory is
/// short; of any other one "internal error: " and its first line (LibTorch adds a backtrace).
std::string describe(const std::exception& error);

}  // namespace hetmoe
