#!/usr/bin/env bash
# Makes this machine ready to build switchyard: Debian packages, and LibTorch in .deps/libtorch.
# Can be called any number of times; when all is there it only looks and returns at once.
#
# Usage: scripts/setup.sh [--text | --fuzz]
#   --text   also install the text that `make quickstart` trains on
#   --fuzz   also install the compiler that `make fuzz` needs
#
# Exit status: 0 ready; 1 a step failed (the message says which and how to go on);
#              2 something only you can do (the message gives the exact command).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
deps=$root/.deps

# --- What is needed -----------------------------------------------------------------------------
tool_packages=(
  make g++ cmake ninja-build   # compiler and build
  ccache mold                  # fast rebuilds, fast links
  pkg-config                   # finds the libraries below that have no CMake files
  python3 python3-pip          # fetch and unpack LibTorch; run the repository's checks
)
library_packages=(
  libsentencepiece-dev                     # tokenizer
  libutf8proc-dev                          # classes and lower case of characters, for metrics
  libtomlplusplus-dev nlohmann-json3-dev   # recipes; model configs, metrics
  libcli11-dev                             # command line
  libspdlog-dev libfmt-dev                 # log, text formatting
  zlib1g-dev libzstd-dev libxxhash-dev     # .gz and .zst input, checksums
  libopenmpi-dev openmpi-bin               # training on many ranks
  libboost-dev                             # HTTP server: headers of Beast and Asio
  libgtest-dev libgmock-dev                # tests
  libbenchmark-dev                         # micro-benchmarks
)
text_packages=(
  dict-gcide              # 40 MB of English: the GNU Collaborative International Dictionary
)
fuzz_packages=(
  clang-14 libclang-rt-14-dev  # libFuzzer and the sanitizers' run time
  libomp-14-dev                # Clang's omp.h
  llvm-14                      # names and lines in the sanitizers' reports
)

# LibTorch comes from the PyPI wheel of PyTorch. libtorch_cpu.so also loads two small NVIDIA libraries
# (profiling, runtime); the GPU libraries themselves (3 GB) are not needed. One line per wheel:
# name, version, size in MB, sha256, file.
wheels=(
  "torch 2.11.0 531 7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl"
  "nvidia-cuda-runtime 13.0.96 2 7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548 nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
  "nvidia-cuda-cupti 13.0.85 11 4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8 nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl"
)
download_mb=544  # sum of the above
disk_mb=1150     # wheels and unpacked files, side by side for a moment
stamp_text="layout 1; $(printf '%s\n' "${wheels[@]}" | awk '{printf "%s%s %s", sep, $1, $2; sep = ", "}')"

say() { printf 'set-up: %s\n' "$*" >&2; }
fail() { # fail STATUS WHAT HOW_TO_GO_ON
  printf 'set-up: error: %s\n' "$2" >&2
  printf 'set-up: %s\n' "$3" >&2
  exit "$1"
}

# --- Debian packages ----------------------------------------------------------------------------
missing_packages() { # names of the packages given that are not installed
  dpkg-query -W -f='${db:Status-Abbrev}${Package}\n' "$@" 2>/dev/null |
    awk -v wanted="$*" '
      /^.i / { installed[$2] = 1 }
      END { n = split(wanted, names, " ")
            for (i = 1; i <= n; ++i) if (!(names[i] in installed)) print names[i] }'
}

install_packages() { # install_packages PREFIX PACKAGE...; PREFIX: "" or "sudo -n"
  local prefix=$1
  shift
  local apt="$prefix env DEBIAN_FRONTEND=noninteractive apt-get"
  # Package lists may be absent (a fresh container) or older than what the mirror still holds.
  if ! apt-cache show "$@" >/dev/null 2>&1; then
    say "updating the package lists (apt-get update)"
    $apt update -qq || return 1
  fi
  $apt install --no-install-recommends --assume-no "$@" 2>/dev/null |
    sed -n 's/^Need to get /set-up: download of /p; s/^After this operation, /set-up: on disk: /p' >&2 || true
  $apt install --no-install-recommends -y -qq "$@" >/dev/null && return 0
  say "trying once more with fresh package lists"
  $apt update -qq && $apt install --no-install-recommends -y -qq "$@" >/dev/null
}

ensure_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    [ "${SWITCHYARD_SKIP_PACKAGES:-0}" = 1 ] && return 0
    fail 2 "this is not a Debian system, so packages cannot be installed from here" \
      "install what these Debian packages hold, then set SWITCHYARD_SKIP_PACKAGES=1: $*"
  fi
  local missing
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -eq 0 ] && return 0
  [ "${SWITCHYARD_SKIP_PACKAGES:-0}" = 1 ] && return 0
  local prefix=""
  if [ "$(id -u)" -ne 0 ]; then
    prefix="sudo -n"
    if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
      fail 2 "${#missing[@]} Debian packages are missing and installing them needs root" \
        "run this, then the same command as before:
  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}"
    fi
  fi
  say "installing Debian packages: ${missing[*]}"
  install_packages "$prefix" "${missing[@]}" ||
    fail 1 "apt-get could not install: ${missing[*]}" \
      "its message is above; once that is solved (network, mirror, disk), run the same command again"
}

# --- LibTorch -----------------------------------------------------------------------------------
libtorch_ready() {
  [ "$(cat "$deps/libtorch/VERSION" 2>/dev/null)" = "$stamp_text" ] &&
    [ -s "$deps/libtorch/lib/libtorch_cpu.so" ] && [ -s "$deps/libtorch/include/ATen/ATen.h" ]
}

find_python() { # a Python that has pip; Debian's own before one of a virtual environment
  local python
  for python in /usr/bin/python3 python3; do
    "$python" -m pip --version >/dev/null 2>&1 && { echo "$python"; return 0; }
  done
  fail 1 "no python3 with pip" "install the package python3-pip and run the same command again"
}

verified() { # verified FILE SHA256
  [ -f "$1" ] && [ "$(sha256sum "$1" | cut -d ' ' -f 1)" = "$2" ]
}

download_wheel() { # download_wheel PYTHON NAME VERSION MEGABYTES SHA256 FILE, into .deps/download
  local python=$1 name=$2 version=$3 megabytes=$4 sha256=$5 file=$6
  local folder=$deps/download
  verified "$folder/$file" "$sha256" && return 0
  rm -rf "${folder:?}/$file" "$folder/part"
  mkdir -p "$folder/part"
  say "downloading $name $version from PyPI ($megabytes MB)"
  printf '%s==%s --hash=sha256:%s\n' "$name" "$version" "$sha256" > "$folder/part/requirement.txt"
  # The cp311 wheel whatever Python runs here: only its C++ part is used.
  if ! TMPDIR=$folder/part "$python" -m pip download --quiet --no-deps --no-cache-dir \
    --require-hashes --only-binary=:all: --python-version 3.11 --implementation cp --abi cp311 \
    --abi none --platform manylinux_2_28_x86_64 --platform manylinux_2_25_x86_64 \
    --platform manylinux2014_x86_64 \
    --dest "$folder/part" --requirement "$folder/part/requirement.txt" >&2 ||
    ! verified "$folder/part/$file" "$sha256"; then
    rm -rf "$folder/part"
    fail 1 "download of $name $version failed ($file); pip's message is above" \
      "check network and proxy (HTTPS_PROXY, PIP_INDEX_URL) and run the same command again: wheels that are
  complete are kept. Without network: put that file into $folder"
  fi
  mv "$folder/part/$file" "$folder/$file"
  rm -rf "$folder/part"
}

unpack_wheels() { # unpack_wheels PYTHON DESTINATION: the C++ part of the wheels
  "$1" - "$deps/download" "$2" <<'PYTHON'
import pathlib, shutil, sys, zipfile

# The headers' own copy of fmt would hide Debian's, against which the rest of the program is linked.
left_out = "torch/include/fmt/"
torch_libraries = {"libtorch_cpu.so", "libc10.so", "libgomp.so.1"}
nvidia_libraries = {"libcudart.so.13", "libcupti.so.13"}


def destination_of(name):
    if name.startswith("torch/include/") and not name.startswith(left_out):
        return name[len("torch/"):]
    folder, _, base = name.rpartition("/")
    if (folder == "torch/lib" and base in torch_libraries) or (
            folder == "nvidia/cu13/lib" and base in nvidia_libraries):
        return "lib/" + base
    if folder.endswith(".dist-info/licenses") and base in ("LICENSE", "License.txt"):
        return "licenses/" + name.split("-")[0] + ".txt"
    return None


target = pathlib.Path(sys.argv[2])
for wheel in sorted(pathlib.Path(sys.argv[1]).glob("*.whl")):
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            place = None if entry.is_dir() else destination_of(entry.filename)
            if place:
                (target / place).parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, open(target / place, "wb") as copy:
                    shutil.copyfileobj(source, copy, 1 << 20)
absent = [name for name in torch_libraries | nvidia_libraries if not (target / "lib" / name).exists()]
if absent:
    sys.exit("the wheels lack " + ", ".join(sorted(absent)))
PYTHON
}

ensure_libtorch() {
  libtorch_ready && return 0
  [ "$(uname -m)" = x86_64 ] ||
    fail 2 "LibTorch is pinned for x86_64 only; this is $(uname -m)" \
      "build LibTorch 2.11.0 yourself and configure with -DSWITCHYARD_LIBTORCH=FOLDER"
  if ! mkdir -p "$deps" 2>/dev/null || [ ! -w "$deps" ]; then
    fail 2 "cannot write into $deps" "make it writable, or work in a copy of the repository that is"
  fi
  exec 9> "$deps/.lock"
  flock -n 9 || { say "waiting for another set-up of this folder"; flock 9; }
  libtorch_ready && return 0

  local free_mb
  free_mb=$(df -Pm "$deps" | awk 'NR == 2 {print $4}')
  [ "$free_mb" -ge "$disk_mb" ] ||
    fail 1 "$free_mb MB free in $deps, LibTorch needs $disk_mb MB while it is unpacked (500 MB after)" \
      "make room and run the same command again"
  say "LibTorch 2.11.0: about $download_mb MB to download, 500 MB in $deps/libtorch"
  local python wheel unpacked=$deps/libtorch.part
  python=$(find_python)
  for wheel in "${wheels[@]}"; do
    # shellcheck disable=SC2086  # five words
    download_wheel "$python" $wheel
  done
  say "unpacking the headers and libraries"
  rm -rf "$unpacked"
  mkdir "$unpacked"
  unpack_wheels "$python" "$unpacked" ||
    fail 1 "the wheels in $deps/download could not be unpacked" \
      "see the message above (a full disk?); remove $deps/download and run the same command again"
  printf '%s\n' "$stamp_text" > "$unpacked/VERSION"
  rm -rf "$deps/libtorch"
  mv "$unpacked" "$deps/libtorch"
  rm -rf "$deps/download"
}

main() {
  local packages=("${tool_packages[@]}" "${library_packages[@]}")
  case ${1:-} in
    "") ;;
    --text) packages+=("${text_packages[@]}") ;;
    --fuzz) packages+=("${fuzz_packages[@]}") ;;
    *) sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
       [ "$1" = --help ] && exit 0
       exit 2 ;;
  esac
  ensure_packages "${packages[@]}"
  ensure_libtorch
  say "ready"
}
main "$@"
