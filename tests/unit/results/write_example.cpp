// Writes the example results file to the path given, for checks by other readers of HDF5.
#include <exception>
#include <iostream>

#include "example_run.hpp"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: write_example_results FILE\n";
    return 2;
  }
  try {
    d2c::results::test::write_example(argv[1]);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
