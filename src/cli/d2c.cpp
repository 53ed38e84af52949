#include "d2c/cli/main.hpp"

int main(int argc, char** argv) { return d2c::cli::main(argc, argv); }
