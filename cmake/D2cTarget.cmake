# Compile settings shared by every target of the project, and the helper that declares a module.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_library(d2c_settings INTERFACE)
target_include_directories(d2c_settings INTERFACE "${PROJECT_SOURCE_DIR}/include")
# Results must not depend on the number of threads: Eigen stays serial.
target_compile_definitions(d2c_settings INTERFACE EIGEN_DONT_PARALLELIZE)
target_compile_options(d2c_settings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor)
if(CMAKE_UNITY_BUILD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Several files of a target are compiled as one: a pimpl's private types are then in an included file.
  target_compile_options(d2c_settings INTERFACE -Wno-subobject-linkage)
endif()
if(D2C_WARNINGS_AS_ERRORS)
  target_compile_options(d2c_settings INTERFACE -Werror)
endif()
if(D2C_ARCH)
  target_compile_options(d2c_settings INTERFACE "-march=${D2C_ARCH}")
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_compile_options(d2c_settings INTERFACE -march=x86-64-v3)
endif()
if(D2C_SANITIZE)
  target_compile_definitions(d2c_settings INTERFACE D2C_SANITIZED)
  target_compile_options(d2c_settings INTERFACE "-fsanitize=${D2C_SANITIZE}" -fno-omit-frame-pointer
                                                -fno-sanitize-recover=all)
  target_link_options(d2c_settings INTERFACE "-fsanitize=${D2C_SANITIZE}")
endif()
if(D2C_BUILD_FUZZERS)
  target_compile_options(d2c_settings INTERFACE -fsanitize=fuzzer-no-link)
endif()

# d2c_add_module(NAME [NUMERIC] [PUBLIC targets ...] [PRIVATE targets ...] [EXCLUDE regex])
#
# Declares the static library d2c_NAME (alias d2c::NAME) of all sources in this folder and those
# below it. What other modules may include lies in include/d2c/NAME. NUMERIC: most of the time of a
# job is spent here, so that debug builds (those with sanitizers too) optimise it: tests would take
# minutes.
function(d2c_add_module name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "NUMERIC" "EXCLUDE" "PUBLIC;PRIVATE")
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS RELATIVE "${CMAKE_CURRENT_SOURCE_DIR}" "*.cpp")
  if(arg_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX "${arg_EXCLUDE}")
  endif()
  add_library(d2c_${name} STATIC ${sources})
  add_library(d2c::${name} ALIAS d2c_${name})
  target_include_directories(d2c_${name} PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}")
  target_link_libraries(d2c_${name} PUBLIC d2c_settings ${arg_PUBLIC} PRIVATE ${arg_PRIVATE})
  if(arg_NUMERIC)
    target_compile_options(d2c_${name} PRIVATE $<$<CONFIG:Debug>:-O2>)
  endif()
endfunction()
