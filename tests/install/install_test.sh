#!/usr/bin/env bash
# Installs the build, moves the result elsewhere, and uses it as an outsider would. Settings come from
# the environment (CMakeLists.txt beside this file).
set -euo pipefail
work=$BUILD/tests/install_test
rm -rf "$work"
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }

"$CMAKE" --install "$BUILD" --prefix "$work/first" > "$work/install.log" || {
  tail -n 20 "$work/install.log"
  fail "cmake --install"
}
mv "$work/first" "$work/moved"
prefix=$work/moved

echo "-- the program runs, with the LibTorch that was installed with it"
[ "$("$prefix/bin/switchyard" --version)" = "switchyard $VERSION" ] || fail "switchyard --version"
torch=$(ldd "$prefix/bin/switchyard" | awk '/libtorch_cpu|libc10|libgomp/ {print $3}')
[ "$(wc -l <<< "$torch")" -ge 3 ] || fail "the program does not load LibTorch: $torch"
while read -r library; do
  case $(realpath "$library") in
    "$(realpath "$prefix")"/*) ;;
    *) fail "the program loads $library, outside the installation" ;;
  esac
done <<< "$torch"

echo "-- nothing in the installed CMake files points back to the source or build tree"
if grep -rnF -e "$SOURCE" -e "$BUILD" "$prefix/lib/cmake"; then
  fail "paths of the build are in the installed CMake files"
fi

echo "-- a project of its own finds the library, builds and trains a Switch layer"
"$CMAKE" -S "$SOURCE/examples/train_layer" -B "$work/example" -DCMAKE_PREFIX_PATH="$prefix" \
  -DCMAKE_CXX_COMPILER="$CXX" -DCMAKE_BUILD_TYPE="$BUILD_TYPE" \
  ${SANITIZE:+"-DCMAKE_CXX_FLAGS=-fsanitize=$SANITIZE"} > "$work/example.log" &&
  "$CMAKE" --build "$work/example" >> "$work/example.log" 2>&1 || {
  tail -n 40 "$work/example.log"
  fail "examples/train_layer does not build"
}
"$work/example/train_layer" || fail "the example ended with status $?"
