// Writes the example results file, or reads a results file, for checks by other readers and writers
// of HDF5.
#include <exception>
#include <iostream>
#include <string>

#include "d2c/core/error.hpp"
#include "d2c/results/reader.hpp"
#include "d2c/results/summary.hpp"

#include "example_run.hpp"

int main(int argc, char** argv) {
  const std::string command = argc == 3 ? argv[1] : "";
  try {
    if (command == "write") {
      d2c::results::test::write_example(argv[2]);
    } else if (command == "read") {
      std::cout << d2c::results::print_summary(d2c::results::read_results(argv[2]));
    } else {
      std::cerr << "usage: example_results write|read FILE\n";
      return 2;
    }
  } catch (const d2c::InputError& error) {
    std::cerr << error.what() << '\n';
    return 3;
  }
  return 0;
}
