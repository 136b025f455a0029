"""Valise, version 1: an independent reading of the specification, and its test vectors. See README.md.

    python valise.py make DIR        write the vector files (byte-identical every time)
    python valise.py check DIR       verify every vector file; exit status 0 or 1
    python valise.py same [DIR]      two makes are identical (and identical with DIR); exit status 0 or 1
    python valise.py crosscheck      compare the Noise core with another library
"""
import sys

from v1 import files


def main(argv):
    if len(argv) == 3 and argv[1] in ("make", "check"):
        return {"make": files.make, "check": files.check}[argv[1]](argv[2])
    if len(argv) in (2, 3) and argv[1] == "same":
        return files.same(*argv[2:])
    if argv[1:] == ["crosscheck"]:
        from v1 import crosscheck
        return crosscheck.crosscheck()
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv))
