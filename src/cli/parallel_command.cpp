#include "parallel_command.hpp"

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "d2c/core/crash_report.hpp"
#include "d2c/core/failure.hpp"

#include "commands/commands.hpp"

namespace d2c::cli {
namespace {

int end_all(comm::Communicator& comm, const Failure& failure) {
  const int code = static_cast<int>(failure.code);
  if (comm.size() == 1) {
    fmt::print(stderr, "d2c: {}\n", failure.line);
    return code;
  }
  // A failure that every rank meets by itself is told once on each node, and the node of rank 0 is
  // given the time to take the others down before they speak.
  if (!comm.is_first_to_fail()) {
    std::this_thread::sleep_for(std::chrono::seconds(5));
    comm.abort(code);
  }
  const std::vector<int> node = comm.nodes(0).of_rank;
  if (node[static_cast<std::size_t>(comm.rank())] != node[0]) {
    std::this_thread::sleep_for(std::chrono::seconds(2));
  }
  fmt::print(stderr, "d2c: rank {}: {}\n", comm.rank(), failure.line);
  std::fflush(nullptr);
  comm.abort(code);
  return code;
}

}  // namespace

int with_mpi(const std::function<int(comm::Communicator&)>& work) {
  int argc = 0;
  char** argv = nullptr;
  // Open MPI warns of handlers that are there when it starts, and puts its own.
  leave_crashes_alone();
  comm::Environment mpi(argc, argv);
  comm::Communicator& comm = mpi.world();
  static std::string speaker;
  speaker = comm.size() == 1 ? "d2c" : fmt::format("d2c: rank {}", comm.rank());
  report_crashes(speaker.c_str());
  try {
    return work(comm);
  } catch (const comm::AgreedError& error) {
    if (comm.is_root()) fmt::print(stderr, "d2c: {}\n", error.what());
    return static_cast<int>(error.code());
  } catch (...) {
    return end_all(comm, current_failure());
  }
}

}  // namespace d2c::cli
