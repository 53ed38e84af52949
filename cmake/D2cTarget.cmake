# Compile settings shared by every target of the project, and the helper that declares a module.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_library(d2c_settings INTERFACE)
target_include_directories(d2c_settings INTERFACE "${PROJECT_SOURCE_DIR}/include"
                                                  "${PROJECT_BINARY_DIR}/generated")
# Results must not depend on the number of threads: Eigen stays serial.
target_compile_definitions(d2c_settings INTERFACE EIGEN_DONT_PARALLELIZE)
target_compile_options(d2c_settings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor)
if(D2C_WARNINGS_AS_ERRORS)
  target_compile_options(d2c_settings INTERFACE -Werror)
endif()
if(D2C_ARCH)
  target_compile_options(d2c_settings INTERFACE "-march=${D2C_ARCH}")
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_compile_options(d2c_settings INTERFACE -march=x86-64-v3)
endif()
if(D2C_SANITIZE)
  target_compile_options(d2c_settings INTERFACE "-fsanitize=${D2C_SANITIZE}" -fno-omit-frame-pointer
                                                -fno-sanitize-recover=all)
  target_link_options(d2c_settings INTERFACE "-fsanitize=${D2C_SANITIZE}")
endif()

# d2c_add_module(NAME SOURCES a.cpp ... [PUBLIC targets ...] [PRIVATE targets ...])
#
# Declares the static library d2c_NAME (alias d2c::NAME). Headers live in include/d2c/NAME.
function(d2c_add_module name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;PUBLIC;PRIVATE")
  add_library(d2c_${name} STATIC ${arg_SOURCES})
  add_library(d2c::${name} ALIAS d2c_${name})
  target_link_libraries(d2c_${name} PUBLIC d2c_settings ${arg_PUBLIC} PRIVATE ${arg_PRIVATE})
endfunction()
