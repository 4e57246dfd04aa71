# Libraries from Debian packages (scripts/setup.sh installs them). Also installed: find_package() of
# the installed library reads this file, so that both find the same things.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(ZLIB REQUIRED)
find_package(Boost 1.74 REQUIRED)  # headers: HTTP (Beast) over Asio
find_package(PkgConfig REQUIRED)
pkg_check_modules(tomlplusplus REQUIRED IMPORTED_TARGET tomlplusplus)
pkg_check_modules(zstd REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(sentencepiece REQUIRED IMPORTED_TARGET sentencepiece)
pkg_check_modules(mpi REQUIRED IMPORTED_TARGET mpi-c)  # Open MPI, or what the system's MPI is
pkg_check_modules(utf8proc REQUIRED IMPORTED_TARGET libutf8proc)
# Its -DUTF8PROC_EXPORTS means nothing here, and would stand on the command line of all our files.
set_target_properties(PkgConfig::utf8proc PROPERTIES INTERFACE_COMPILE_OPTIONS "")
