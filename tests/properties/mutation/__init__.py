"""Mutation testing of the rules for storing, keying, validity, privacy and purges.

Each run makes one small change (a mutant) at a time in the code of these rules. Some test must then
fail. A mutant that no test fails for is a survivor: either a test is missing, or the change makes no
difference, and `equivalent` says why.

Run it with `python -m tests.properties.mutation [--only WORD]`.

The tests are collected once, and each mutant is a forked process with one function or constant
exchanged, so that a mutant takes a fraction of a second.

Reading order:

- `targets`: the modules under test, and the tests that judge them.
- `operators`: the changes that are tried.
- `judging`: how one mutant is put in place and judged.
- `equivalent`: the survivors that make no difference, each with the reason.
- `__main__`: the command line and its report.
"""
