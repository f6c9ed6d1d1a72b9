"""`hetmoe completion`: bash is driven as a user's Tab drives it; zsh and fish where they are installed."""

import shutil
import subprocess
import unittest

from command_line import HETMOE, CommandLineCase

# Calls what Tab calls. bash parts words at '=' before it asks.
DRIVER = """\
source completion.sh
function_name=$(complete -p hetmoe | sed 's/.*-F \\([^ ]*\\).*/\\1/')
COMP_WORDS=("$@")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
COMPREPLY=()
"${function_name}" hetmoe "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


class Completion(CommandLineCase):
    def setUp(self):
        super().setUp()
        code, script, err = self.run_command(HETMOE, "completion", "bash")
        self.assertEqual((code, err), (0, ""))
        self.write("completion.sh", script)

    def complete(self, *words):
        done = subprocess.run(["bash", "-c", DRIVER, "bash", *words], cwd=self.folder, capture_output=True, text=True,
                              check=True, timeout=30)
        self.assertEqual(done.stderr, "")
        return done.stdout.split("\n")[:-1] if done.stdout.strip() else []

    def test_commands(self):
        self.assertEqual(self.complete("hetmoe", "tr"), ["train"])
        self.assertEqual(self.complete("build/hetmoe", "data", "in"), ["inspect"])
        code, _, err = self.run_command(HETMOE, "no-such-command")
        self.assertEqual(code, 2)
        self.assertEqual(self.complete("hetmoe", ""), err[err.index("allowed: ") + 9:err.index(" (see")].split(", "))
        self.assertEqual(self.complete("hetmoe", "completion", "z"), ["zsh"])

    def test_options_are_those_that_the_command_takes(self):
        self.assertEqual(self.complete("hetmoe", "train", "--res"), ["--resume"])
        self.assertEqual(self.complete("hetmoe", "data", "prepare", "--train-v"), ["--train-vocabulary"])
        self.assertEqual(self.complete("hetmoe", "plan", "--res"), [])
        self.assertNotIn("--as-rank", self.complete("hetmoe", "doctor", "--"), "hidden")
        # What it offers, the program's own help knows.
        _, out, _ = self.run_command(HETMOE, "launch", "--help")
        offered = self.complete("hetmoe", "launch", "--")
        self.assertGreater(len(offered), 10)
        for option in offered:
            self.assertIn(option, out)

    def test_keys_of_set_are_those_of_the_configuration(self):
        self.assertEqual(self.complete("hetmoe", "train", "c.yaml", "--set", "train.weight"), ["train.weight_decay="])
        _, reference, _ = self.run_command(HETMOE, "train", "--help-config")
        keys = self.complete("hetmoe", "train", "--set", "")
        self.assertGreater(len(keys), 60)
        for key in keys:
            if key.endswith("="):
                self.assertIn(key[:-1].rsplit(".", 1)[-1] + ":", reference)
        few = self.complete("hetmoe", "evaluate", "runs/a", "--set", "")
        self.assertIn("train.precision=", few)
        self.assertIn("parallel.threads=", few)
        self.assertTrue(all(key.startswith("parallel.") for key in few if key != "train.precision="), few)

    def test_words_that_an_option_allows(self):
        words = ["slices", "whole", "eplb", "contiguous"]
        self.assertEqual(self.complete("hetmoe", "plan", "--strategy", ""), words)
        self.assertEqual(self.complete("hetmoe", "plan", "--strategy", "=", "wh"), ["whole"])
        self.assertEqual(self.complete("hetmoe", "plan", "--strategy", "="), words)
        self.write("never-file", "")
        self.assertEqual(self.complete("hetmoe", "train", "--resume", "ne"), ["never", "never-file"])

    def test_files_elsewhere(self):
        self.write("shards/one file.yaml", "")
        self.assertEqual(self.complete("hetmoe", "train", "sm"), ["small.yaml"])
        self.assertEqual(self.complete("hetmoe", "report", "--out", "shards/o"), ["shards/one file.yaml"])
        self.assertEqual(self.complete("hetmoe", "train", "--set", "data.train", "=", "sma"), ["small.yaml"])

    def test_scripts_are_good_for_their_shells(self):
        for shell in ("bash", "zsh", "fish"):
            code, script, err = self.run_command(HETMOE, "completion", shell)
            self.assertEqual((code, err), (0, ""))
            for part in ("sweep", "prepare", "train.steps=", "resume"):
                self.assertIn(part, script)
            if shutil.which(shell):
                name = self.write(f"check.{shell}", script)
                subprocess.run([shell, "-n", name], check=True, timeout=30)

    def test_another_shell_is_refused(self):
        code, _, err = self.run_command(HETMOE, "completion", "tcsh")
        self.assertEqual(code, 2)
        self.assertIn("bash", err)


if __name__ == "__main__":
    unittest.main()
