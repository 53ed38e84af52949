# d2c_add_python_tests(PREFIX FILE [LABELS ...] [TIMEOUT seconds] [ENVIRONMENT NAME=value ...])
#
# CTest entries for the unittest classes in a Python file: PREFIX.Class.test, one for every test
# method, so that each runs alone and beside others. A class that prepares something for all its
# tests (setUpClass) is one entry, PREFIX.Class. Only methods that the file itself writes down are
# found. A test that skips itself is shown as skipped.
function(d2c_add_python_tests prefix file)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "TIMEOUT" "LABELS;ENVIRONMENT")
  math(EXPR arg_TIMEOUT "${arg_TIMEOUT} * ${D2C_TEST_SLOWNESS}")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
  file(STRINGS "${file}" lines REGEX "^class [A-Za-z]|^    def (test_|setUpClass)")
  set(tests)
  set(grouped)
  foreach(line IN LISTS lines)
    if(line MATCHES "^class ([A-Za-z0-9_]+)")
      set(class ${CMAKE_MATCH_1})
    elseif(line MATCHES "def setUpClass")
      list(APPEND grouped ${class})
    elseif(line MATCHES "def (test_[A-Za-z0-9_]+)")
      list(APPEND tests ${class}.${CMAKE_MATCH_1})
    endif()
  endforeach()
  foreach(class IN LISTS grouped)
    list(FILTER tests EXCLUDE REGEX "^${class}\\.")
    list(APPEND tests ${class})
  endforeach()
  if(NOT tests)
    message(FATAL_ERROR "${file} has no tests")
  endif()
  foreach(test IN LISTS tests)
    add_test(NAME ${prefix}.${test} COMMAND "${D2C_PYTHON}" "${file}" -v ${test})
    set_tests_properties(${prefix}.${test} PROPERTIES
      LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT} ENVIRONMENT "${arg_ENVIRONMENT}"
      COST 10  # the longest tests are among these: start them first
      SKIP_REGULAR_EXPRESSION "OK \\(skipped")
  endforeach()
endfunction()
