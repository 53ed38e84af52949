#include <array>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "d2c/comm/communicator.hpp"
#include "d2c/core/error.hpp"

namespace d2c::comm {
namespace {

/// What an error tells, as one text: each part after its length.
std::string packed(const Error& error) {
  const auto& [file, item, line] = error.where();
  const auto& [what, why, fix] = error.message();
  std::string text;
  for (const std::string& part : {std::to_string(static_cast<int>(error.code())), file.string(),
                                  item, std::to_string(line), what, why, fix}) {
    text += fmt::format("{}:{}", part.size(), part);
  }
  return text;
}

AgreedError unpacked(std::string_view text) {
  std::array<std::string, 7> parts;
  for (std::string& part : parts) {
    const std::size_t colon = text.find(':');
    part = text.substr(colon + 1, std::stoul(std::string(text.substr(0, colon))));
    text.remove_prefix(colon + 1 + part.size());
  }
  const auto& [code, file, item, line, what, why, fix] = parts;
  return {static_cast<ExitCode>(std::stoi(code)), {file, item, std::stoll(line)}, {what, why, fix}};
}

/// What `work` throws.
std::optional<Error> failure_of(const std::function<void()>& work, int rank) {
  try {
    work();
    return std::nullopt;
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return Error(ExitCode::failure, {}, {fmt::format("out of memory on rank {}", rank)});
  } catch (const std::exception& error) {
    return Error(ExitCode::failure, {}, {error.what()});
  }
}

}  // namespace

std::string broadcast_text(Communicator& comm, const std::string& text, int root) {
  const auto bytes = std::as_bytes(std::span(text));
  const auto received = comm.broadcast({bytes.begin(), bytes.end()}, root);
  return {reinterpret_cast<const char*>(received.data()), received.size()};
}

void agree(Communicator& comm, const std::function<void()>& work) {
  const std::optional<Error> failure = failure_of(work, comm.rank());
  double first_failed = failure.has_value() ? comm.rank() : comm.size();
  comm.minimum({&first_failed, 1});
  const int root = static_cast<int>(first_failed);
  if (root == comm.size()) return;
  throw unpacked(broadcast_text(comm, root == comm.rank() ? packed(*failure) : "", root));
}

}  // namespace d2c::comm
