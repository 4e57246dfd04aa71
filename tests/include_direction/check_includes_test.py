"""Shows that tools/check_includes.py finds each kind of violation, on small trees made for it."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import check_includes  # noqa: E402

GOOD = {
    "CMakeLists.txt": "set(SWITCHYARD_FOLDERS base text  # comment\n    model)\n",
    "src/base/CMakeLists.txt": "sy_library(NAME base SRCS error.cpp DEPS LIBS fmt::fmt)",
    "src/base/error.h": "#include <string>\n",
    "src/text/CMakeLists.txt": "sy_library(NAME text SRCS t.cpp\n  DEPS base\n  LIBS ZLIB::ZLIB)",
    "src/text/t.h": '#include "base/error.h"\n',
    "src/model/CMakeLists.txt": "sy_library(NAME model TORCH SRCS m.cpp DEPS text base)\n",
    "src/model/m.cpp": '#include "text/t.h"\n#include "base/error.h"\n#include <ATen/ATen.h>\n',
    "src/model/m_test.cpp": '#include "tests/helper.h"\n#include "text/t.h"\n',
}


class CheckIncludes(unittest.TestCase):
    def found(self, **changed):
        """Violations in the good tree with some files changed; `__` in a name stands for `/`."""
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            files = {**GOOD, **{k.replace("__", "/").replace("_dot_", "."): v for k, v in changed.items()}}
            for name, text in files.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            return list(check_includes.violations(root))

    def assert_one(self, found, *parts):
        self.assertEqual(len(found), 1, found)
        for part in parts:
            self.assertIn(part, found[0])

    def test_good_tree_passes(self):
        self.assertEqual(self.found(), [])

    def test_include_against_the_arrow(self):
        self.assert_one(self.found(src__base__error_dot_h='\n#include "text/t.h"\n'),
                        "src/base/error.h:2", "text is not in the folder's DEPS")

    def test_include_of_an_undeclared_earlier_folder(self):
        self.assert_one(
            self.found(src__model__CMakeLists_dot_txt="sy_library(NAME model SRCS m.cpp DEPS text)"),
            "src/model/m.cpp:2", "base is not in")

    def test_angle_brackets_do_not_hide_it(self):
        self.assert_one(self.found(src__base__error_dot_h="#  include <model/m.h>\n"), "model is not in")

    def test_dependency_on_a_later_folder(self):
        self.assert_one(self.found(src__base__CMakeLists_dot_txt="sy_library(NAME base DEPS text)"),
                        "DEPS names text")

    def test_path_that_does_not_start_at_src(self):
        self.assert_one(self.found(src__model__m_dot_cpp='#include "m.h"\n'), '"m.h"')
        self.assert_one(self.found(src__model__m_dot_cpp='#include "../text/t.h"\n'), '"../text/t.h"')

    def test_only_tests_include_from_tests(self):
        self.assert_one(self.found(src__model__m_dot_cpp='#include "tests/helper.h"\n'), "tests/helper.h")

    def test_torch_header(self):
        self.assert_one(self.found(src__model__m_dot_cpp="#include <torch/torch.h>\n"), "torch/torch.h")

    def test_machine_path(self):
        self.assert_one(self.found(src__text__t_dot_h='const char* p = "/home/me/x";\n'), "absolute path")
        self.assertEqual(self.found(src__text__t_dot_h="// https://a.org/home/x and /v1/score\n"), [])

    def test_header_that_is_not_there(self):
        self.assert_one(self.found(src__text__t_dot_h='#include "base/eror.h"\n'), "does not exist")

    def test_folder_that_is_not_declared(self):
        self.assert_one(self.found(src__extra__x_dot_h="int x;\n"), "src/extra", "SWITCHYARD_FOLDERS")

    def test_folder_without_a_library(self):
        self.assert_one(self.found(src__base__CMakeLists_dot_txt="# empty\n"), "no sy_library()")


if __name__ == "__main__":
    unittest.main()
