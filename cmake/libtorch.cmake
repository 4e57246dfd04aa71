# LibTorch as one SYSTEM target, sy_torch. The PyPI wheel's CMake files expect a GPU toolkit, so the
# few things needed are named here: headers, two libraries, one OpenMP runtime, rpath.
if(NOT EXISTS "${SWITCHYARD_LIBTORCH}/include/ATen/ATen.h")
  message(FATAL_ERROR "LibTorch is not in ${SWITCHYARD_LIBTORCH}: run scripts/setup.sh, or point "
                      "SWITCHYARD_LIBTORCH to a folder with its include/ and lib/.")
endif()
# Headers and libraries, here and once installed (cmake/install.cmake copies them).
set(SWITCHYARD_LIBTORCH_INSTALL_DIR "lib/switchyard/libtorch")
add_library(sy_torch INTERFACE)
target_include_directories(sy_torch SYSTEM INTERFACE
  $<BUILD_INTERFACE:${SWITCHYARD_LIBTORCH}/include>
  $<BUILD_INTERFACE:${SWITCHYARD_LIBTORCH}/include/torch/csrc/api/include>
  $<INSTALL_INTERFACE:${SWITCHYARD_LIBTORCH_INSTALL_DIR}/include>
  $<INSTALL_INTERFACE:${SWITCHYARD_LIBTORCH_INSTALL_DIR}/include/torch/csrc/api/include>)
# OpenMP: compile with -fopenmp (at::parallel_for is serial without it) and link the copy that
# LibTorch itself loads, never the compiler's, so that one runtime serves the process.
target_compile_options(sy_torch INTERFACE ${SY_OPENMP_OPTION})
if(SWITCHYARD_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Instrumented, GCC 12 sees uninitialized values in LibTorch's optional arguments that are not there.
  target_compile_options(sy_torch INTERFACE $<BUILD_INTERFACE:-Wno-maybe-uninitialized>)
endif()
foreach(library libtorch_cpu.so libc10.so libgomp.so.1)
  target_link_libraries(sy_torch INTERFACE
    $<BUILD_INTERFACE:${SWITCHYARD_LIBTORCH}/lib/${library}>
    "$<INSTALL_INTERFACE:\${_IMPORT_PREFIX}/${SWITCHYARD_LIBTORCH_INSTALL_DIR}/lib/${library}>")
endforeach()
target_link_options(sy_torch INTERFACE -Wl,--as-needed
  $<BUILD_INTERFACE:-Wl,-rpath-link,${SWITCHYARD_LIBTORCH}/lib>
  "$<INSTALL_INTERFACE:-Wl,-rpath-link,\${_IMPORT_PREFIX}/${SWITCHYARD_LIBTORCH_INSTALL_DIR}/lib>")

# One precompiled header for every torch target; others reuse it from this owner.
set(SY_TORCH_PCH "${CMAKE_CURRENT_LIST_DIR}/torch_pch.h")
function(sy_use_torch_pch target)
  if(NOT TARGET sy_torch_pch)
    if(NOT EXISTS "${CMAKE_BINARY_DIR}/torch_pch.cpp")  # a new time stamp would rebuild everything
      file(WRITE "${CMAKE_BINARY_DIR}/torch_pch.cpp" "")
    endif()
    add_library(sy_torch_pch OBJECT "${CMAKE_BINARY_DIR}/torch_pch.cpp")
    target_link_libraries(sy_torch_pch PRIVATE sy_torch sy_warnings)
    target_precompile_headers(sy_torch_pch PRIVATE "${SY_TORCH_PCH}")
  endif()
  target_precompile_headers(${target} REUSE_FROM sy_torch_pch)
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "EXECUTABLE")  # -fPIE and the header's -fPIC do not mix
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${target} PRIVATE -fPIC)
  endif()
endfunction()
