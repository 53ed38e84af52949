#include "parallel_command.hpp"

#include <chrono>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

#include "commands/commands.hpp"

namespace d2c::cli {
namespace {

int end_all(comm::Communicator& comm, ExitCode code, const char* what) {
  if (comm.size() == 1) {
    fmt::print(stderr, "d2c: {}\n", what);
    return static_cast<int>(code);
  }
  // A failure that every rank meets by itself is told once on each node, and the node of rank 0 is
  // given the time to take the others down before they speak.
  if (!comm.is_first_to_fail()) {
    std::this_thread::sleep_for(std::chrono::seconds(5));
    comm.abort(static_cast<int>(code));
  }
  const std::vector<int> node = comm.nodes(0).of_rank;
  if (node[static_cast<std::size_t>(comm.rank())] != node[0]) {
    std::this_thread::sleep_for(std::chrono::seconds(2));
  }
  fmt::print(stderr, "d2c: rank {}: {}\n", comm.rank(), what);
  std::fflush(nullptr);
  comm.abort(static_cast<int>(code));
  return static_cast<int>(code);
}

}  // namespace

int with_mpi(const std::function<int(comm::Communicator&)>& work) {
  int argc = 0;
  char** argv = nullptr;
  comm::Environment mpi(argc, argv);
  comm::Communicator& comm = mpi.world();
  try {
    return work(comm);
  } catch (const comm::AgreedError& error) {
    if (comm.is_root()) fmt::print(stderr, "d2c: {}\n", error.what());
    return static_cast<int>(error.code());
  } catch (const Error& error) {
    return end_all(comm, error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return end_all(comm, ExitCode::failure, "out of memory");
  } catch (const std::exception& error) {
    return end_all(comm, ExitCode::failure, error.what());
  }
}

}  // namespace d2c::cli
