#include <optional>

#include "d2c/comm/communicator.hpp"
#include "d2c/core/error.hpp"

namespace d2c::comm {

std::string broadcast_text(Communicator& comm, const std::string& text, int root) {
  const auto bytes = std::as_bytes(std::span(text));
  const auto received = comm.broadcast({bytes.begin(), bytes.end()}, root);
  return {reinterpret_cast<const char*>(received.data()), received.size()};
}

void agree(Communicator& comm, const std::function<void()>& work) {
  std::optional<ExitCode> code;
  std::string line;
  try {
    work();
  } catch (const Error& error) {
    code = error.code();
    line = error.what();
  } catch (const std::bad_alloc&) {
    code = ExitCode::failure;
    line = "out of memory on rank " + std::to_string(comm.rank());
  } catch (const std::exception& error) {
    code = ExitCode::failure;
    line = error.what();
  }

  double first_failed = code.has_value() ? comm.rank() : comm.size();
  comm.minimum({&first_failed, 1});
  const int root = static_cast<int>(first_failed);
  if (root == comm.size()) return;

  const std::string message = broadcast_text(
      comm, code.has_value() ? std::to_string(static_cast<int>(*code)) + line : "", root);
  throw AgreedError(static_cast<ExitCode>(message.front() - '0'), {}, {message.substr(1)});
}

}  // namespace d2c::comm
