# Settings shared by every target of this project.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib")
set(CMAKE_INSTALL_RPATH "$ORIGIN/../lib/switchyard/libtorch/lib")  # cmake/install.cmake puts it there

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Precompiled headers need these two lenient checks; paths relative to the source tree let two
  # checkouts share one cache.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros
      CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE})
endif()
find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()

# One OpenMP runtime serves the process, LibTorch's libgomp. What Clang makes of OpenMP needs LLVM's
# runtime, so a Clang build (fuzzing) runs its loops serially.
set(SY_OPENMP_OPTION -fopenmp)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  set(SY_OPENMP_OPTION -fopenmp=libgomp)
endif()

# Warnings of our own code; library headers are SYSTEM.
add_library(sy_warnings INTERFACE)
target_compile_options(sy_warnings INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor -Woverloaded-virtual
  # False alarms of GCC 12 on std::string (GCC bug 105651).
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
  # Clang 14 leaves a few `omp simd` loops scalar and says so; its builds are for fuzzing and reading.
  $<$<CXX_COMPILER_ID:Clang>:-Wno-pass-failed>)
if(SWITCHYARD_WARNINGS_AS_ERRORS)
  target_compile_options(sy_warnings INTERFACE -Werror)
endif()

if(SWITCHYARD_SANITIZE)
  add_compile_options(-fsanitize=${SWITCHYARD_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${SWITCHYARD_SANITIZE})
  if(SWITCHYARD_SANITIZE MATCHES thread AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Asio has fences, which GCC warns that it does not follow; its threads meet at mutexes.
    add_compile_options(-Wno-tsan)
  endif()
endif()
