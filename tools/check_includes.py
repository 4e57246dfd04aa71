#!/usr/bin/env python3
"""Checks that the folders of src/ include each other only in the direction that CMake declares.

Usage: check_includes.py [ROOT]     ROOT: the repository, default: the one this file is in

The order of the folders is SWITCHYARD_FOLDERS in the root CMakeLists.txt; a folder's dependencies are
the DEPS of its sy_library(). Prints one line per violation and exits 1 if there is any:
  * a folder depends on itself or on one that does not come before it;
  * a file includes a header of a folder that its own folder does not list in DEPS;
  * a file is included by a path that does not start at src/;
  * <torch/torch.h>, which triples compile time (ATen/ATen.h is in the precompiled header);
  * an absolute path of somebody's machine.
Tests (*_test.cpp, and the headers they share, test_*.h) may also include headers of tests/. apps/ may include everything.
"""
import pathlib
import re
import sys

KEYWORDS = {"NAME", "SRCS", "DEPS", "LIBS", "TORCH", "OPENMP", "LABEL", "TIMEOUT"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
MACHINE_PATH = re.compile(r'(?<![\w.])/(work|home|root|Users|mnt)/\w')
SUFFIXES = {".h", ".cpp", ".cu", ".cuh", ".inl"}


def strip_comments(cmake):
    return re.sub(r"#[^\n]*", "", cmake)


def folder_order(root):
    text = strip_comments((root / "CMakeLists.txt").read_text())
    match = re.search(r"set\(\s*SWITCHYARD_FOLDERS\s+([^)]*)\)", text)
    if not match:
        raise SystemExit(f"{root}/CMakeLists.txt: SWITCHYARD_FOLDERS is not set")
    return match.group(1).split()


def declared_dependencies(folder):
    """DEPS of the sy_library() in the folder's CMakeLists.txt, or None if there is none."""
    path = folder / "CMakeLists.txt"
    text = strip_comments(path.read_text()) if path.exists() else ""
    match = re.search(r"\bsy_library\(([^)]*)\)", text)
    if not match:
        return None
    dependencies, keyword = [], None
    for word in match.group(1).split():
        if word in KEYWORDS:
            keyword = word
        elif keyword == "DEPS":
            dependencies.append(word)
    return dependencies


def check_folder(folder, order, root):
    place = folder.relative_to(root)
    if folder.name not in order:
        yield f"{place}: not in SWITCHYARD_FOLDERS of CMakeLists.txt"
        return
    dependencies = declared_dependencies(folder)
    if dependencies is None:
        yield f"{place}/CMakeLists.txt: no sy_library() there"
        return
    earlier = order[: order.index(folder.name)]
    for name in dependencies:
        if name not in earlier:
            yield f"{place}/CMakeLists.txt: DEPS names {name}, which does not come before {folder.name}"
    allowed = {folder.name, *dependencies}
    for path in sorted(p for p in folder.rglob("*") if p.suffix in SUFFIXES):
        yield from check_file(path, allowed, order, root)


def check_file(path, allowed, order, root):
    is_test = path.stem.endswith("_test") or path.name.startswith("test_")
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        where = f"{path.relative_to(root)}:{number}"
        if MACHINE_PATH.search(line):
            yield f"{where}: absolute path of a machine: {line.strip()}"
        match = INCLUDE.match(line)
        if not match:
            continue
        quoted, target = match.group(1) == '"', match.group(2)
        first = target.split("/")[0]
        if target == "torch/torch.h":
            yield f"{where}: includes <torch/torch.h>; include ATen/ATen.h or what is needed"
        elif first in order:
            if first not in allowed:
                yield f"{where}: includes {target}, but {first} is not in the folder's DEPS"
            elif not quoted:
                yield f"{where}: own headers are included with quotes: {target}"
            elif not (root / "src" / target).exists():
                yield f"{where}: src/{target} does not exist"
        elif quoted and not (is_test and first == "tests"):
            yield f'{where}: "{target}" does not start with a folder of src/'


def violations(root):
    order = folder_order(root)
    for folder in sorted(p for p in (root / "src").iterdir() if p.is_dir()):
        if any(p.suffix in SUFFIXES for p in folder.rglob("*")):
            yield from check_folder(folder, order, root)


def main():
    default = pathlib.Path(__file__).resolve().parent.parent
    root = pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else default
    found = list(violations(root))
    print("\n".join(found) if found else "includes of src/ follow the declared directions")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
