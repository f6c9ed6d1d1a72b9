"""`--help` of every command: it fits a screen, has an example, and ends with 0. Commands are those that the program names."""

import re
import unittest

from command_line import HETMOE, CommandLineCase

ROWS, COLUMNS = 45, 110


class Help(CommandLineCase):
    def help_of(self, *path):
        code, out, err = self.run_command(HETMOE, *path, "--help")
        self.assertEqual((code, err), (0, ""), path)
        return out

    def subcommands_in(self, text):
        _, _, listed = text.partition("\nSubcommands:\n")
        return re.findall(r"(?m)^  ([a-z][a-z-]*)\b", listed.split("\n\n")[0])

    def commands(self, *path):
        """All commands with their help, inner ones after the one that holds them."""
        text = self.help_of(*path)
        yield path, text
        for name in self.subcommands_in(text):
            yield from self.commands(*path, name)

    def test_every_help_fits_a_screen_and_carries_an_example(self):
        seen = 0
        for path, text in self.commands():
            with self.subTest(command=" ".join(path)):
                lines = text.rstrip("\n").split("\n")
                self.assertLessEqual(len(lines), ROWS)
                self.assertLessEqual(max(map(len, lines)), COLUMNS, max(lines, key=len))
                self.assertRegex(text, r"(?m)^Examples?:\n +\S")
                self.assertRegex(text.split("Example")[-1], r"\bhetmoe " + r" ".join(path), "an example of another command")
                seen += 1
        self.assertGreater(seen, 20)

    def test_the_programs_help_lists_every_command(self):
        """An unknown word is answered with the names that are allowed; --help lists the same."""
        code, _, err = self.run_command(HETMOE, "no-such-command")
        self.assertEqual(code, 2)
        allowed = re.search(r"allowed: (.*) \(see", err)[1].split(", ")
        self.assertEqual(self.subcommands_in(self.help_of()), allowed)
        for name in ("train", "launch", "sweep", "doctor", "completion", "report"):
            self.assertIn(name, allowed)


if __name__ == "__main__":
    unittest.main()
