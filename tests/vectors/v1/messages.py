"""§4.5: messages, contents, handling, proofs; the files of a submission (§9.4)."""
from .base import A, B, LANGUAGE, M, T, U, decode, kem_check, require
from .card import ROOT, ROSTER_SIZE, check_roster
from .parcels import CONTENT_SIZE, FILES, check_files

TIME_ON_THE_HOUR = U()                     # the shape; that it is a multiple of 3,600 is checked apart
PROOF = M({0: A(ROOT, 1, 4), 1: B(1, ROSTER_SIZE), 2: B(64)})
REPLY_KEYS = M({0: B(32), 1: B(1184), 2: B(32), 3: B(32)})
HANDLING = M({0: U(0, 2), 1: U(0, 2), 2: U(0, 3), 4: U(0, 4), 5: U(0, 2), 6: LANGUAGE}, {3: T(1, 2000)})
CONTENT = M({0: T(1, 50000), 1: HANDLING, 2: A(B(32), 0, 16)}, {3: FILES})
REPLY_TEXT = T(1, 32000)
KIND = {0: ("both", M({0: U()})),
        1: ("inbox", M({0: U(), 1: B(16), 2: U(), 3: REPLY_KEYS, 4: B(1, 55724)}, {5: A(B(32), 1, 8)})),
        2: ("return", M({0: U(), 1: B(16), 2: B(16), 3: TIME_ON_THE_HOUR, 4: PROOF})),
        3: ("return", M({0: U(), 1: B(16), 2: B(16), 3: TIME_ON_THE_HOUR, 4: PROOF, 5: REPLY_TEXT})),
        4: ("inbox", M({0: U(), 1: B(16), 2: B(16), 3: TIME_ON_THE_HOUR, 4: B(32)}, {5: REPLY_TEXT, 6: PROOF}))}


def check_content(raw, address):                                                                             # §4.5, §9.4
    require(len(raw) <= CONTENT_SIZE, "too-long")
    c = decode(raw, CONTENT)
    h, others = c[1], c[2]
    require(h[1] != 1 or h[0] == 1, "bad-handling")
    require(h[2] != 3 or (3 in h and h[1] == 0), "bad-handling")
    require(all(a < b for a, b in zip(others, others[1:])) and address not in others, "bad-addressees")
    if 3 in c:
        check_files(c[3])
    return c


def check_message(raw, mailbox, address, writer, current=None):                                              # §4.5
    """`mailbox`: inbox or return. `current`: the identity keys on the current card's roster, None without a card."""
    m = decode(raw)
    require(type(m) is dict and type(m.get(0)) is int, "bad-cbor")
    require(m[0] in KIND, "unknown-kind")
    where, schema = KIND[m[0]]
    require(where in ("both", mailbox), "wrong-kind")
    require(schema(m), "bad-cbor", "wrong shape")
    out = {"kind": m[0]}
    if m[0] == 1:
        c = check_content(m[4], address)
        require((3 in c) == (5 in m), "bad-holders")                                                         # §9.4
        kem_check(m[3][1])
    else:
        require(m.get(3, 0) % 3600 == 0, "bad-time")
    if m[0] in (2, 3):
        roster = check_roster(m[4][0], m[4][1], m[4][2], address)
        require(writer in [d[1] for d in roster[4]], "writer-not-on-roster")
        out["standing"] = "unverified" if current is None else "verified" if writer in current else "removed"
        out["roster-issued"] = roster[2]
    if m[0] == 4:
        require(writer in (current or []), "writer-not-on-roster")
    return out


def holders_after(known, repeat):                                                                            # §9.4
    """The relays that hold the files of a submission, after a repeat of it. None known: it has no files."""
    out = list(known)
    for relay in repeat:
        if known and relay not in out and len(out) < 8:
            out.append(relay)
    return out
