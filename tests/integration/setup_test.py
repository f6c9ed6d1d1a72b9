"""deploy/setup.sh --no-root: what is missing, and a build by an ordinary user from a prefix that is not the system's."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from command_line import PROJECT

USER = 54321
# What a user would have put into a prefix; compiler, CMake and MPI are those in PATH.
PREFIX_PACKAGES = """libyaml-cpp-dev nlohmann-json3-dev libcli11-dev libspdlog-dev libfmt-dev libprotobuf-dev protobuf-compiler
    libgrpc++-dev libgrpc-dev protobuf-compiler-grpc libabsl-dev libc-ares-dev libre2-dev libssl-dev zlib1g-dev prometheus-cpp-dev
    civetweb libcivetweb-dev libcpp-httplib-dev libbrotli-dev libcurl4-openssl-dev libxxhash-dev libzstd-dev coinor-libcbc-dev coinor-libcgl-dev coinor-libclp-dev coinor-libosi-dev
    coinor-libcoinutils-dev libsentencepiece-dev libgtest-dev""".split()
# One for each of MPI, YAML, Cbc, gRPC and SentencePiece.
TARGETS = "parallel_communicator core_config parallel_placement coordinator_protocol hetmoe-sentencepiece".split()
# CMake looks nowhere but in the prefix.
ONLY_THE_PREFIX = """set(CMAKE_FIND_USE_CMAKE_SYSTEM_PATH OFF)
set(CMAKE_IGNORE_PREFIX_PATH / /usr)
set(CMAKE_FIND_USE_PACKAGE_REGISTRY OFF)
"""


def files_of(package):
    listed = subprocess.run(["dpkg", "-L", package], capture_output=True, text=True, check=False)
    return [pathlib.Path(line) for line in listed.stdout.splitlines() if line.startswith("/usr/")]


@unittest.skipIf(shutil.which("dpkg") is None, "the prefix is made from Debian's packages")
class NoRoot(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hetmoe-setup-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.tree = self.folder / "tree"
        copied = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=PROJECT,
                                capture_output=True, check=True).stdout.decode().split("\0")
        for name in filter(lambda one: one and (PROJECT / one).exists(), copied):
            (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, self.tree / name)
        (self.tree / ".deps").mkdir()
        for name in ("python", "tokenizers"):
            (self.tree / ".deps" / name).symlink_to(PROJECT / ".deps" / name)
        self.toolchain = self.folder / "prefix.cmake"
        self.toolchain.write_text(ONLY_THE_PREFIX)

    def setup(self, *arguments, path=os.environ["PATH"], **environment):
        kept = {"PATH": path, "HOME": str(self.folder), "CCACHE_DIR": str(self.folder / "ccache"), **environment}
        return subprocess.run([self.tree / "deploy/setup.sh", "--no-root", *arguments], env=kept, capture_output=True, text=True,
                              check=False, user=USER if os.geteuid() == 0 else None, group=USER if os.geteuid() == 0 else None)

    def give_to_user(self):
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{USER}:{USER}", self.folder], check=True)
        self.folder.chmod(0o755)

    def test_programs_that_are_missing_are_listed_in_one_line(self):
        tools = self.folder / "tools"
        tools.mkdir()
        for name in "bash env dirname mkdir flock sed tr df tail rm grep python3 cat uname".split():
            (tools / name).symlink_to(shutil.which(name))
        self.give_to_user()
        done = self.setup(path=str(tools))
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        for name in ("c++ (Debian: g++)", "cmake (Debian: cmake)", "mpicc (Debian: libopenmpi-dev)", "protoc", "grpc_cpp_plugin"):
            self.assertIn(name, done.stderr)
        self.assertNotIn("python3 with venv", done.stderr, "that one is there")

    def test_libraries_that_are_missing_are_listed_in_one_line(self):
        self.give_to_user()
        done = self.setup(CMAKE_TOOLCHAIN_FILE=str(self.toolchain), PKG_CONFIG_LIBDIR=str(self.folder))
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        for name in "yaml-cpp nlohmann_json CLI11 spdlog Protobuf OpenSSL gRPC prometheus-cpp cpp-httplib libxxhash libzstd cbc sentencepiece".split():
            self.assertRegex(done.stderr, rf"{name} \(Debian: ")
        self.assertIn("CMAKE_PREFIX_PATH", done.stderr)

    def prefix(self):
        made = self.folder / "prefix"
        for package in PREFIX_PACKAGES:
            for file in files_of(package):
                if not file.exists() or file.is_dir() or not re.match(r"/usr/(bin|include|lib|share/cmake|share/pkgconfig)", str(file)):
                    continue
                place = made / file.relative_to("/usr")
                place.parent.mkdir(parents=True, exist_ok=True)
                if file.suffix == ".pc":
                    place.write_text(file.read_text().replace("/usr", str(made)))
                elif file.is_symlink() and ".so" in file.name:
                    whole = place.parent / file.resolve().name
                    if not whole.exists():
                        shutil.copy2(file.resolve(), whole)
                    place.symlink_to(whole.name)
                elif file.exists() and not place.exists():
                    shutil.copy2(file, place)
        # What civetweb asks for of the C library, which stays the system's.
        for name in ("lib/x86_64-linux-gnu/libdl.a", "lib/x86_64-linux-gnu/librt.a", "include/dlfcn.h", "include/time.h"):
            shutil.copy2(f"/usr/{name}", made / name)
        return made

    def test_an_ordinary_user_builds_from_a_prefix(self):
        made = self.prefix()
        self.give_to_user()
        done = self.setup(*(word for target in TARGETS for word in ("--target", target)),
                          path=f"{made}/bin:{os.environ['PATH']}", CMAKE_PREFIX_PATH=str(made),
                          CMAKE_TOOLCHAIN_FILE=str(self.toolchain), PKG_CONFIG_LIBDIR=f"{made}/lib/x86_64-linux-gnu/pkgconfig")
        self.assertEqual(done.returncode, 0, done.stdout[-3000:] + done.stderr[-3000:])
        cache = (self.tree / "build/CMakeCache.txt").read_text()
        for name in "yaml-cpp_DIR gRPC_DIR prometheus-cpp_DIR OPENSSL_SSL_LIBRARY".split():
            self.assertRegex(cache, rf"(?m)^{name}:\w+={re.escape(str(made))}/")
        for built in ("hetmoe-sentencepiece", "parallel/communicator/libparallel_communicator.a"):
            self.assertEqual((self.tree / "build" / built).stat().st_uid, USER if os.geteuid() == 0 else os.geteuid())


if __name__ == "__main__":
    unittest.main()
