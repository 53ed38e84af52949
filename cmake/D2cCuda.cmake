# D2C_CUDA: whether losses can be computed on NVIDIA GPUs (docs/user/gpu.md).
#
#   AUTO  where nvcc, its libraries and cuBLASLt are found      ON  or fail      OFF  without looking
#
# Sets D2C_CUDA_FOUND. CMake's own CUDA language is not used: it would link every program in another
# way.
set(D2C_CUDA AUTO CACHE STRING "GPU engine: AUTO, ON or OFF")
set_property(CACHE D2C_CUDA PROPERTY STRINGS AUTO ON OFF)
set(D2C_CUDA_ARCHITECTURE 90 CACHE STRING
    "Oldest compute capability of GPUs, without its dot; later ones compile the kernels as they start")

# Looks for what is needed. @return in `problem` what is missing; empty = nothing
function(d2c_find_cuda problem)
  find_program(D2C_NVCC nvcc PATHS /usr/local/cuda/bin /opt/cuda/bin)
  if(NOT D2C_NVCC)
    set(${problem} "nvcc is not found" PARENT_SCOPE)
    return()
  endif()
  get_filename_component(root "${D2C_NVCC}" REALPATH)
  get_filename_component(root "${root}" DIRECTORY)
  get_filename_component(root "${root}" DIRECTORY)
  find_path(D2C_CUDA_INCLUDE cublasLt.h HINTS "${root}/include")
  foreach(library cublasLt cudart_static)
    find_library(D2C_CUDA_${library} ${library} HINTS "${root}/lib64" "${root}/lib")
    if(NOT D2C_CUDA_INCLUDE OR NOT D2C_CUDA_${library})
      set(${problem} "${library} is not found beside ${D2C_NVCC}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
  # nvcc takes some compilers only.
  if(NOT DEFINED D2C_NVCC_WORKS)
    set(trial "${PROJECT_BINARY_DIR}/CMakeFiles/nvcc_trial")
    file(WRITE "${trial}.cu" "#include <string>\n__global__ void kernel() {}\n")
    execute_process(COMMAND "${D2C_NVCC}" -std=c++20 "-arch=sm_${D2C_CUDA_ARCHITECTURE}" -ccbin
                            "${CMAKE_CXX_COMPILER}" -c "${trial}.cu" -o "${trial}.o"
                    RESULT_VARIABLE failed OUTPUT_FILE "${trial}.log" ERROR_FILE "${trial}.log")
    if(NOT failed)
      set(D2C_NVCC_WORKS TRUE CACHE INTERNAL "")
    else()
      set(${problem} "${D2C_NVCC} does not work with ${CMAKE_CXX_COMPILER}, see ${trial}.log"
          PARENT_SCOPE)
    endif()
  endif()
endfunction()

set(D2C_CUDA_FOUND FALSE)
if(D2C_CUDA STREQUAL "OFF")
  message(STATUS "CUDA: not asked for")
else()
  set(problem "")
  d2c_find_cuda(problem)
  if(NOT problem)
    set(D2C_CUDA_FOUND TRUE)
    message(STATUS "CUDA: ${D2C_NVCC} for sm_${D2C_CUDA_ARCHITECTURE}, ${D2C_CUDA_cublasLt}")
  elseif(D2C_CUDA STREQUAL "ON")
    message(FATAL_ERROR "D2C_CUDA=ON: ${problem}")
  else()
    message(STATUS "CUDA: no, ${problem}")
  endif()
endif()

# d2c_add_cuda(MODULE FILE.cu ...)
#
# Adds CUDA sources of this folder and CUDA's libraries to a module.
function(d2c_add_cuda module)
  if(D2C_WARNINGS_AS_ERRORS)
    set(strict -Werror all-warnings)
  endif()
  foreach(source ${ARGN})
    get_filename_component(name "${source}" NAME)
    set(object "${CMAKE_CURRENT_BINARY_DIR}/${name}.o")
    add_custom_command(
      OUTPUT "${object}"
      COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} "${D2C_NVCC}" -std=c++20 -O3
              "-gencode=arch=compute_${D2C_CUDA_ARCHITECTURE},code=[sm_${D2C_CUDA_ARCHITECTURE},compute_${D2C_CUDA_ARCHITECTURE}]"
              -ccbin "${CMAKE_CXX_COMPILER}" -Xcompiler=-Wall,-Wextra -diag-suppress 554 ${strict}
              "$<$<CONFIG:Release,RelWithDebInfo>:-DNDEBUG>" -I "${PROJECT_SOURCE_DIR}/include" -I
              "${CMAKE_CURRENT_SOURCE_DIR}" -MD -MF "${object}.d" -c
              "${CMAKE_CURRENT_SOURCE_DIR}/${source}" -o "${object}"
      DEPENDS "${source}" DEPFILE "${object}.d" COMMENT "Building CUDA object ${name}.o"
      COMMAND_EXPAND_LISTS VERBATIM)
    set_source_files_properties("${object}" PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
    target_sources(d2c_${module} PRIVATE "${object}")
  endforeach()
  target_include_directories(d2c_${module} SYSTEM PRIVATE "${D2C_CUDA_INCLUDE}")
  # cuBLASLt is opened as it is needed, so that the program starts where it is absent.
  get_filename_component(libraries "${D2C_CUDA_cublasLt}" DIRECTORY)
  target_compile_definitions(d2c_${module} PRIVATE
                             "D2C_CUDA_LEAST_ARCHITECTURE=${D2C_CUDA_ARCHITECTURE}"
                             "D2C_CUDA_LIBRARIES=\"${libraries}\"")
  target_link_libraries(d2c_${module} PRIVATE "${D2C_CUDA_cudart_static}" Threads::Threads
                                              ${CMAKE_DL_LIBS} rt)
endfunction()
