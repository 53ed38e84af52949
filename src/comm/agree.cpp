#include <optional>
#include <sstream>
#include <utility>

#include "d2c/comm/communicator.hpp"
#include "d2c/core/failure.hpp"
#include "d2c/core/wire.hpp"

namespace d2c::comm {
namespace {

std::vector<std::byte> packed(const Error& error) {
  const int code = static_cast<int>(error.code());
  std::vector<std::byte> bytes;
  append_wire(bytes, std::span(&code, 1));
  append_wire(bytes, std::span(&error.where().line, 1));
  append_list(bytes, error.where().file.string());
  append_list(bytes, error.where().item);
  append_list(bytes, error.message().what);
  append_list(bytes, error.message().why);
  append_list(bytes, error.message().fix);
  return bytes;
}

AgreedError unpacked(std::span<const std::byte> bytes) {
  int code = 0;
  Where where;
  std::string file;
  Message message;
  take_wire(bytes, std::span(&code, 1));
  take_wire(bytes, std::span(&where.line, 1));
  for (std::string* part : {&file, &where.item, &message.what, &message.why, &message.fix}) {
    take_list(bytes, *part);
  }
  where.file = file;
  return {static_cast<ExitCode>(code), std::move(where), std::move(message)};
}

/// What `work` throws.
std::optional<Error> failure_of(const std::function<void()>& work) {
  try {
    work();
    return std::nullopt;
  } catch (const Error& error) {
    return error;
  } catch (...) {
    const Failure failure = current_failure();
    return Error(failure.code, failure.line);
  }
}

}  // namespace

std::string broadcast_text(Communicator& comm, const std::string& text, int root) {
  const auto bytes = std::as_bytes(std::span(text));
  const auto received = comm.broadcast({bytes.begin(), bytes.end()}, root);
  return {reinterpret_cast<const char*>(received.data()), received.size()};
}

std::vector<std::string> gather_lines(Communicator& comm, const std::string& lines) {
  std::vector<std::string> all;
  for (const auto& bytes : comm.all_gather(std::as_bytes(std::span(lines)))) {
    std::istringstream text(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    for (std::string line; std::getline(text, line);) all.push_back(line);
  }
  return all;
}

void agree(Communicator& comm, const std::function<void()>& work) {
  const std::optional<Error> failure = failure_of(work);
  double first_failed = failure.has_value() ? comm.rank() : comm.size();
  comm.minimum({&first_failed, 1});
  const int root = static_cast<int>(first_failed);
  if (root == comm.size()) return;
  throw unpacked(
      comm.broadcast(root == comm.rank() ? packed(*failure) : std::vector<std::byte>(), root));
}

}  // namespace d2c::comm
