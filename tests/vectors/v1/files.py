"""Vector files: their format, and the commands `make`, `check`, `same`."""
import base64
import os
import re
import tempfile

from . import base, ops
from .base import Reject


# ---------------------------------------------------------------- the format (README.md)

def pieces(data):
    """Hex; a run of 16 equal bytes or more is count*hex."""
    out, at = [], 0
    for run in re.finditer(rb"(.)\1{15,}", data, re.S):
        out += [data[at:run.start()].hex()] * (run.start() > at) + [f"{len(run[0])}*{run[1].hex()}"]
        at = run.end()
    return " ".join(out + [data[at:].hex()] * (at < len(data)))


def line(name, value):
    if isinstance(value, (str, int)):
        return f"{name}= {value}"
    if isinstance(value, base.Repeated):
        return f"{name}: {value.text}"
    short, b64 = pieces(value), base64.b64encode(value).decode()
    return f"{name}* {b64}" if len(short) > 200 and len(b64) < len(short) else f"{name}: {short}".rstrip()


def dump(header, inputs, outputs):
    lines = [f"{k}: {x}" for k, x in header.items()] + [""] + [line(*p) for p in inputs.items()] + ["---"]
    return "\n".join(lines + [line(*p) for p in outputs.items()]) + "\n"


def value(sort, rest):
    if sort == "=":
        return rest
    if sort == "*":
        return base64.b64decode(rest)
    out = b""
    for piece in rest.split():
        count, star, byte = piece.partition("*")
        out += bytes.fromhex(byte) * int(count) if star else bytes.fromhex(piece)
    return out


def load(text):
    head, body = text.split("\n\n", 1)
    header = dict(x.split(": ", 1) for x in head.split("\n"))
    parts, at = ({}, {}), 0
    for x in body.split("\n")[:-1]:
        if x == "---":
            at = 1
        else:
            name, sort, rest = re.fullmatch("([A-Za-z0-9-]+)([:=*]) ?(.*)", x).groups()
            parts[at][name] = value(sort, rest)
    return header, *parts


# ---------------------------------------------------------------- running one

def run(op, inputs):
    """(what happens, outputs): what happens is `ok` or the kind of failure."""
    try:
        return "ok", ops.OPS[op](inputs)
    except Reject as why:
        return why.kind, ops.after_failure(op, inputs)


def as_text(values): return {k: str(x) if isinstance(x, int) else x for k, x in values.items()}


def all_files():
    """Name and text of every vector; how many rejections; how many of those pass with their one check turned off."""
    from . import scen_basics, scen_cards, scen_links, scen_messages, scen_parcels, scen_sealed
    files, rejects, alone = {}, 0, 0
    for part in (scen_basics, scen_messages, scen_cards, scen_links, scen_parcels, scen_sealed):
        for slug, header, inputs in part.scenarios():
            assert slug + ".txt" not in files, slug
            inputs = as_text(inputs)
            kind, outputs = run(header["op"], inputs)
            assert kind == header["expect"], (slug, kind, header["expect"])
            if kind != "ok":
                rejects += 1
                base.LENIENT.add(kind)
                try:
                    alone += run(header["op"], inputs)[0] == "ok"
                except Exception:
                    pass
                base.LENIENT.clear()
            files[slug + ".txt"] = dump(header, inputs, outputs)
    return files, rejects, alone


# ---------------------------------------------------------------- the commands

def make(folder):
    os.makedirs(folder, exist_ok=True)
    files, rejects, alone = all_files()
    for name, text in files.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8", newline="\n") as f:
            f.write(text)
    print(f"{len(files)} written, {rejects} of them rejections, {alone} of those pass with their one check off")
    return 0


def read(folder):
    out = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".txt"):
            with open(os.path.join(folder, name), encoding="utf-8", newline="\n") as f:
                out[name] = f.read()
    return out


def check(folder):
    passed = failed = 0
    for name, text in read(folder).items():
        try:
            header, inputs, outputs = load(text)
            kind, got = run(header["op"], inputs)
            hidden = ops.HIDDEN.get(header["op"], set()) - outputs.keys()
            good = kind == header["expect"] and {k: x for k, x in as_text(got).items() if k not in hidden} == outputs
        except Exception as why:
            good, header, kind = False, {"expect": "a vector"}, repr(why)
        passed, failed = passed + good, failed + (not good)
        if not good:
            print(f"{name}: expected {header['expect']}, got {kind}")
    print(f"{passed} passed, {failed} failed")
    return int(failed > 0 or passed == 0)


def same(folder=None):
    """Two makes, in folders of different paths, give the same bytes; and those of `folder`, where one is given."""
    with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory(prefix="another-") as b:
        b = os.path.join(b, "deeper", "down")
        make(a), make(b)
        both = [read(a), read(b)] + ([read(folder)] if folder else [])
    differ = sorted(n for n in set().union(*both) if len({f.get(n) for f in both}) > 1)
    print("\n".join(differ) if differ else f"{len(both)} times the same {len(both[0])} files")
    return int(bool(differ))
