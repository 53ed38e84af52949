#include <cstdio>

#include <gtest/gtest.h>

#include "mpi_world.hpp"

namespace d2c::test {

comm::Communicator*& world_pointer() {
  static comm::Communicator* pointer = nullptr;
  return pointer;
}

}  // namespace d2c::test

/// Runs the same tests on every rank. The run fails if a test fails on any rank, or if there was
/// none.
int main(int argc, char** argv) {
  d2c::comm::Environment mpi(argc, argv);
  d2c::comm::Communicator& comm = mpi.world();
  d2c::test::world_pointer() = &comm;
  testing::InitGoogleTest(&argc, argv);
  if (!comm.is_root()) {
    auto& listeners = testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
  }
  double failed = RUN_ALL_TESTS();
  comm.maximum({&failed, 1});
  const int n_tests = testing::UnitTest::GetInstance()->test_to_run_count();
  if (comm.is_root() && n_tests == 0) std::puts("no test was run");
  return failed != 0 || n_tests == 0 ? 1 : 0;
}
