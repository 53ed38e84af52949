#include "test_support.hpp"

#include <cstdlib>

namespace d2c::test {

std::filesystem::path shared(const std::string& relative) {
  const char* place = std::getenv("D2C_SHARED");
  return std::filesystem::path(place != nullptr ? place : D2C_SHARED_DIR) / relative;
}

std::filesystem::path source(const std::string& relative) {
  const char* place = std::getenv("D2C_SOURCE");
  return std::filesystem::path(place != nullptr ? place : D2C_SOURCE_DIR) / relative;
}

std::filesystem::path golden(const std::string& relative) {
  return source("tests/golden/" + relative);
}

}  // namespace d2c::test
